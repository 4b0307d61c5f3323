"""PostgreSQL through psycopg 3, with every wait bounded.

Connection parameters: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.pool import QueuePool

# Any number that no other program on the database takes: "webhooks" in ASCII.
ADVISORY_LOCK = 0x776562686F6F6B73

# A writer waits for its turn, then for the table, and all of that within inbox.COMMIT_PATIENCE.
CONNECT_TIMEOUT = 2  # seconds, the least that libpq takes
LOCK_TIMEOUT = 1000  # milliseconds for each lock that a writer waits for
WRITE_TIMEOUT = 4000  # milliseconds for one statement of a writer
POOL_TIMEOUT = 1  # seconds; each thread has a connection to read, and one thread at a time writes
READ_TIMEOUT = 30_000  # milliseconds for one statement of a reader

TAKE_TURN = f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"
"""Waits until no other process writes; the turn ends with the transaction."""

_take_turn = text(TAKE_TURN)
_lift_time_limit = text("SET LOCAL statement_timeout = 0")
_is_read_only = text("SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool")


class PostgresqlBackend:
    """Connections to a PostgreSQL database."""

    def __init__(self, url: URL) -> None:
        self._url = url.set(drivername="postgresql+psycopg")

    def create_engine(self, *, pool_size: int, read_only: bool) -> Engine:
        """An engine whose commits are synced, or whose transactions can't write."""
        settings = {
            "timezone": "UTC",
            "synchronous_commit": "on",
            "statement_timeout": READ_TIMEOUT if read_only else WRITE_TIMEOUT,
            "lock_timeout": READ_TIMEOUT if read_only else LOCK_TIMEOUT,
            "idle_in_transaction_session_timeout": READ_TIMEOUT,
            "default_transaction_read_only": "on" if read_only else "off",
            # What a reader reads in one snapshot() is of one moment, as on SQLite.
            "default_transaction_isolation": "repeatable\\ read" if read_only else "read\\ committed",
        }
        engine = create_engine(
            self._url,
            # A writer begins its transactions itself, or sends one statement that is its own transaction.
            isolation_level=None if read_only else "AUTOCOMMIT",
            poolclass=QueuePool,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT,
            pool_pre_ping=read_only,
            hide_parameters=True,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT,
                "tcp_user_timeout": CONNECT_TIMEOUT * 1000,
                "application_name": "webhook_service",
                "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
            },
        )
        if not read_only:

            @event.listens_for(engine, "begin")
            def begin(connection: Connection) -> None:
                connection.exec_driver_sql("BEGIN")
                connection.execute(_take_turn)

        return engine

    @contextmanager
    def turn_to_write(self) -> Iterator[None]:
        """Nothing to wait for before the transaction: the turn is taken inside it, so that ids are committed in the
        order in which they are given."""
        yield

    def is_stale(self) -> bool:
        """Never by itself: a connection that broke says so when it is used."""
        return False

    def lift_time_limit(self, connection: Connection) -> None:
        """Lets the statements of this transaction take any time."""
        connection.execute(_lift_time_limit)

    def writing_problem(self, connection: Connection) -> str | None:
        """What would keep the next message from being stored, if anything."""
        return "the database is read-only" if connection.scalar(_is_read_only) else None

    def forget(self) -> None:
        """Nothing is held outside the engine."""
