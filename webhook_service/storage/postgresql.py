"""PostgreSQL through psycopg 3, with every wait bounded.

Connection parameters: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from math import inf
from time import monotonic
from typing import Any, NoReturn

import psycopg
from psycopg.abc import RV, PQGen
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine import Dialect
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from webhook_service.domain.statistics import Age
from webhook_service.storage.changes import PostgresqlChanges
from webhook_service.storage.errors import PRIMARY, REPLICA, translated_errors
from webhook_service.storage.outage import Outage
from webhook_service.storage.schema_version import refuse_other_schema
from webhook_service.storage.writing import Transaction, Turn

# Any number that no other program on the database takes: "webhooks" in ASCII.
ADVISORY_LOCK = 0x776562686F6F6B73

WRITER_CONNECTIONS = 2  # one to write with, and one to find out what would keep it from writing
KEEPER_CONNECTIONS = 4  # to write what has no place in the feed

# A writer waits for its turn, then for the table, and all of that within intake.commit.PATIENCE.
# Timeouts are in seconds.
CONNECT_TIMEOUT = 2  # the least that libpq takes
LOCK_TIMEOUT = 1.0  # for each lock that a writer waits for
WRITE_TIMEOUT = 4.0  # for one statement of a writer
POOL_TIMEOUT = 1.0  # for a connection; each thread has a connection to read, and one thread at a time writes
READ_TIMEOUT = 30.0  # for one statement of a reader

# A server may stop answering while the kernel goes on acknowledging what is sent to it, and then no timeout of its own
# or of TCP ever comes. So whoever waits for longer than this asks it on another connection whether it is there.
PING_PATIENCE = 2.0  # for a connection to show that its server answers, which is not asked about
READ_PATIENCE = 3.0
WRITE_PATIENCE = 1.5
SILENCE = 1.0  # seconds for which a server that gave no answer is not asked anything

TAKE_TURN = f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"
"""Waits until no other process writes; the turn ends with the transaction."""

_take_turn = text(TAKE_TURN)
_lift_time_limit = text("SET LOCAL statement_timeout = 0")
IS_READ_ONLY = "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool"

# While a standby is connected to its primary there is a row in pg_stat_wal_receiver. Only a role with pg_read_all_stats
# sees more than that; for any other `status` and `latest_end_lsn`, where the primary says that its log ends, are null.
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-WAL-RECEIVER-VIEW
# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-RECOVERY-CONTROL
_age = text("""
    SELECT CASE
        WHEN NOT pg_is_in_recovery() THEN 0
        WHEN pg_last_wal_replay_lsn() >= (
            SELECT greatest(latest_end_lsn, pg_last_wal_receive_lsn()) FROM pg_stat_wal_receiver
            WHERE coalesce(status, 'streaming') = 'streaming'
        ) THEN 0
        ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())
    END
""")


class PostgresqlBackend:
    """Connections to a PostgreSQL database."""

    def __init__(self, url: URL, *, pool_size: int) -> None:
        patience = _Patience()
        self._writer = _engine(url, PRIMARY, patience, pool_size=WRITER_CONNECTIONS, read_only=False)
        self._keeper = _engine(url, PRIMARY, patience, pool_size=KEEPER_CONNECTIONS, read_only=False)
        self._watcher = _engine(url, PRIMARY, patience, pool_size=1, read_only=False)
        self._reader = _engine(url, PRIMARY, patience, pool_size=pool_size, read_only=True)

        self._engines = (self._writer, self._keeper, self._watcher, self._reader)

        @event.listens_for(self._keeper, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN")

        @event.listens_for(self._writer, "begin")
        def take_turn(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN")
            connection.execute(_take_turn)

    @contextmanager
    def writing(self, _patience: float | None) -> Iterator[Turn]:
        """Gives the turn at once: the server makes a statement or transaction wait for it, up to LOCK_TIMEOUT."""
        yield Turn(self._writer)

    def keeping(self) -> AbstractContextManager[Transaction]:
        """Opens a transaction that doesn't wait for the turn to write, and must not store a message."""
        return self._keeper.begin()

    def watching(self) -> PostgresqlChanges:
        """Opens a connection that notices what is stored."""
        return PostgresqlChanges(self._watcher.raw_connection())

    @contextmanager
    def reading(self, *, unlimited: bool) -> Iterator[Connection]:
        """Gives a connection that can only read; ``unlimited`` lets its statements take any time."""
        with self._reader.connect() as connection:
            if not unlimited:
                yield connection
                return
            connection.execute(_lift_time_limit)
            patient: Any = connection.connection.driver_connection
            patient.limit, limit = inf, patient.limit
            try:
                yield connection
            finally:
                patient.limit = limit

    def problem(self) -> str | None:
        """Says what keeps the next message from being stored; None when nothing does."""
        connection = self._writer.raw_connection()  # through SQLAlchemy it would queue for the turn to write
        try:
            cursor = connection.cursor()
            cursor.execute(IS_READ_ONLY)
            (is_read_only,) = cursor.fetchone() or (True,)
        finally:
            connection.close()
        return "the database is read-only" if is_read_only else None

    def close(self) -> None:
        """Closes every connection."""
        for engine in self._engines:
            engine.dispose()

    def forget(self) -> None:
        """Lets go of a parent's connections without closing them."""
        for engine in self._engines:
            engine.dispose(close=False)


class Replica:
    """Connections to a streaming replica, of which no statement waits for a server that has stopped to answer."""

    def __init__(self, url: URL, *, pool_size: int) -> None:
        self._engine = _engine(url, REPLICA, _Patience(), pool_size=pool_size, read_only=True)
        self._outage = Outage()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Gives a connection that reads the replica; StorageUnavailable while it is away."""
        with self._outage.attempt(), translated_errors(REPLICA):
            connection = self._engine.connect()
        with translated_errors(REPLICA), connection:
            yield connection

    def read_age(self, connection: Connection) -> Age:
        """Returns how old, at most, the transaction's data is that begins with this read."""
        seconds = connection.scalar(_age)
        # Negative only where the clock of the primary is ahead of this server's, which then tells nothing.
        return Age(None if seconds is None or seconds < 0 else float(seconds))

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()

    def forget(self) -> None:
        """Lets go of a parent's connections without closing them."""
        self._engine.dispose(close=False)


def _engine(url: URL, server: str, patience: "_Patience", *, pool_size: int, read_only: bool) -> Engine:
    """Makes an engine whose commits are synced, or whose transactions can't write."""
    settings = {
        "timezone": "UTC",
        "synchronous_commit": "on",
        "statement_timeout": _milliseconds(READ_TIMEOUT if read_only else WRITE_TIMEOUT),
        "lock_timeout": _milliseconds(READ_TIMEOUT if read_only else LOCK_TIMEOUT),
        "idle_in_transaction_session_timeout": _milliseconds(READ_TIMEOUT),
        "default_transaction_read_only": "on" if read_only else "off",
        # What a reader reads in one snapshot is of one moment, as on SQLite.
        "default_transaction_isolation": "repeatable\\ read" if read_only else "read\\ committed",
    }
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
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
            "tcp_user_timeout": _milliseconds(CONNECT_TIMEOUT),
            "application_name": "webhook_service",
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        },
    )
    event.listen(engine, "do_connect", partial(_connect, server, Outage(), patience, read_only))
    event.listen(engine, "connect", partial(refuse_other_schema, server))
    return engine


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


class _Patience:
    """What the connections to a server know of each other: since when it gives no answer."""

    def __init__(self) -> None:
        self._silent_until = 0.0

    def give_up(self) -> None:
        """Notes that the server gave no answer."""
        self._silent_until = monotonic() + SILENCE

    def is_lost(self) -> bool:
        """Tells whether the server gave no answer just now, so that nobody waits for it again at once."""
        return monotonic() < self._silent_until


class _PatientConnection(psycopg.Connection[Any]):
    """Closes itself when its server does not answer: libpq itself would wait for a frozen one for ever."""

    patience: _Patience
    is_reader: bool
    limit: float  # seconds for a statement that the server itself should have ended by then
    parameters: Mapping[str, Any]

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Waits for what a generator of psycopg does on the connection."""
        if self.patience.is_lost():
            self._give_up()
        return super().wait(self._asking(gen), interval, timeout)

    def _asking(self, gen: PQGen[RV]) -> PQGen[RV]:
        patience = READ_PATIENCE if self.is_reader else WRITE_PATIENCE
        limit = self.limit
        if self.is_reader and self.autocommit:
            # SQLAlchemy pings readers in autocommit mode, and they do all else in transactions.
            patience = limit = PING_PATIENCE
        began = monotonic()
        deadline = began + patience
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                wanted = gen.send(ready)
                if monotonic() > deadline:
                    if not _answers(self.parameters):
                        self._give_up()
                    if monotonic() > began + limit:
                        self._end()  # the server is there, but this connection to it is dead
                    deadline = monotonic() + patience
        except StopIteration as done:
            result: RV = done.value
            return result

    def _give_up(self) -> NoReturn:
        self.patience.give_up()
        self._end()

    def _end(self) -> NoReturn:
        self.close()
        raise psycopg.OperationalError("the server does not answer")


def _answers(parameters: Mapping[str, Any]) -> bool:
    """Tells whether a server says anything to a new connection, if only that it takes none."""
    try:
        psycopg.connect(**parameters).close()
    except psycopg.errors.ConnectionTimeout:
        return False
    except psycopg.OperationalError:
        return True
    return True


def _connect(
    server: str,
    outage: Outage,
    patience: _Patience,
    is_reader: bool,
    _dialect: Dialect,
    _entry: ConnectionPoolEntry,
    _arguments: tuple[Any, ...],
    parameters: dict[str, Any],
) -> _PatientConnection:
    """Connects; StorageUnavailable, at once while an attempt that failed is a moment ago."""
    with outage.attempt(), translated_errors(server):
        if patience.is_lost():
            raise psycopg.OperationalError("the server does not answer")
        connection = _PatientConnection.connect(**parameters)
    connection.patience, connection.is_reader, connection.parameters = patience, is_reader, dict(parameters)
    connection.limit = (READ_TIMEOUT if is_reader else WRITE_TIMEOUT) + WRITE_PATIENCE
    return connection
