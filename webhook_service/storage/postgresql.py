"""PostgreSQL through psycopg 3, with every wait bounded.

Connection parameters: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from math import inf
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.pool import QueuePool

from webhook_service.domain.statistics import Age, Space
from webhook_service.storage.changes import PostgresqlChanges
from webhook_service.storage.errors import PRIMARY, REPLICA, translated_errors
from webhook_service.storage.failover_ids import ensure_own_ids, move_to_own_ids
from webhook_service.storage.hosts import for_readers
from webhook_service.storage.outage import Outage
from webhook_service.storage.patience import Connector, ServerSilence, is_pooled
from webhook_service.storage.schema_version import refuse_other_schema
from webhook_service.storage.writing import Transaction, Turn

# A number that no other program on the database should use: "webhooks" in ASCII.
ADVISORY_LOCK = 0x776562686F6F6B73

WRITER_CONNECTIONS = 2  # one to write with, and one to find out whether writing is possible
UNQUEUED_CONNECTIONS = 4  # for writes that need no turn, since nothing of them is in the feed

# A writer waits for its turn, then for the table, and both together within intake.commit.PATIENCE.
# Timeouts are in seconds.
CONNECT_TIMEOUT = 2  # the least that libpq allows
LOCK_TIMEOUT = 1.0  # for each lock that a writer waits for
WRITE_TIMEOUT = 4.0  # for one statement of a writer
POOL_TIMEOUT = 1.0  # for a connection of the pool; each thread has one to read with, and one thread at a time writes
READ_TIMEOUT = 30.0  # for one statement of a reader

TAKE_TURN = f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"
"""Waits until no other process writes; the turn ends with the transaction."""

_wait_for_turn = text(TAKE_TURN)
_lift_time_limit = text("SET LOCAL statement_timeout = 0")
_size = text("SELECT pg_database_size(current_database())")
IS_READ_ONLY = "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool"

# While a standby is connected to its primary, pg_stat_wal_receiver has a row. Only a role with pg_read_all_stats sees
# what is in it; for any other role, `status` is null, and so is `latest_end_lsn`, the end of the primary's log.
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


Settings = Mapping[str, str]
"""The server's parameters for a session, by name."""

Begin = Callable[[Settings, Connection], None]
"""Begins a transaction."""


class PostgresqlBackend:
    """Connections to a PostgreSQL database."""

    def __init__(self, url: URL, *, pool_size: int) -> None:
        patience = ServerSilence()
        self._writer = _engine(url, PRIMARY, patience, pool_size=WRITER_CONNECTIONS, begin=_take_turn)
        self._unqueued = _engine(url, PRIMARY, patience, pool_size=UNQUEUED_CONNECTIONS, begin=_begin)
        self._watcher = _engine(url, PRIMARY, patience, pool_size=1, begin=_begin)
        self._reader = _engine(url, PRIMARY, patience, pool_size=pool_size)
        self._engines = (self._writer, self._unqueued, self._watcher, self._reader)

    @contextmanager
    def turn_to_write(self, _patience: float | None) -> Iterator[Turn]:
        """Gives the turn at once: on the server a statement or transaction then waits for it, up to LOCK_TIMEOUT."""
        yield Turn(self._writer)

    def transaction_without_turn(self) -> AbstractContextManager[Transaction]:
        """Opens a transaction that doesn't wait for the turn to write, and must not store a message."""
        return self._unqueued.begin()

    def changes(self) -> PostgresqlChanges:
        """Opens a connection that notices what is stored."""
        return PostgresqlChanges(self._watcher.raw_connection())

    @contextmanager
    def reading(self, *, unlimited: bool) -> Iterator[Connection]:
        """Gives a connection that can only read; with ``unlimited``, its statements may take any time."""
        with self._reader.connect() as connection:
            if not unlimited:
                yield connection
                return
            connection.execute(_lift_time_limit)
            patient: Any = connection.connection.driver_connection
            patient.timeout, timeout = inf, patient.timeout
            try:
                yield connection
            finally:
                patient.timeout = timeout

    def problem(self) -> str | None:
        """Says what keeps the next message from being stored; None when nothing does."""
        connection = self._writer.raw_connection()  # a transaction of SQLAlchemy's would wait for the turn to write
        try:
            cursor = connection.cursor()
            cursor.execute(IS_READ_ONLY)
            (is_read_only,) = cursor.fetchone() or (True,)
        finally:
            connection.close()
        return "the database is read-only" if is_read_only else None

    def space(self) -> Space:
        """Measures the database; the server doesn't tell how much is free on its disk."""
        with self._reader.connect() as connection:
            return Space(connection.scalar(_size) or 0, None)

    def close(self) -> None:
        """Closes every connection."""
        for engine in self._engines:
            engine.dispose()

    def forget(self) -> None:
        """Drops a parent's connections without closing them."""
        for engine in self._engines:
            engine.dispose(close=False)


class Replica:
    """Connections to a streaming replica; no statement waits for a server that has stopped answering."""

    def __init__(self, url: URL, *, pool_size: int) -> None:
        self._engine = _engine(url, REPLICA, ServerSilence(), pool_size=pool_size)
        self._outage = Outage()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Gives a connection that reads the replica; StorageUnavailable while it is away."""
        with self._outage.attempt(), translated_errors(REPLICA):
            connection = self._engine.connect()
        with translated_errors(REPLICA), connection:
            yield connection

    def read_age(self, connection: Connection) -> Age:
        """Returns how old, at most, the data of the transaction is that this read begins."""
        seconds = connection.scalar(_age)
        # It is negative only if the primary's clock is ahead of this server's; then it tells nothing.
        return Age(None if seconds is None or seconds < 0 else float(seconds))

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()

    def forget(self) -> None:
        """Drops a parent's connections without closing them."""
        self._engine.dispose(close=False)


def _engine(
    url: URL,
    server: str,
    patience: ServerSilence,
    *,
    pool_size: int,
    begin: Begin | None = None,
) -> Engine:
    """Makes an engine that syncs its commits and begins transactions by ``begin``; without it, one that only reads."""
    read_only = begin is None
    settings = _session_settings(read_only=read_only)
    engine = create_engine(
        (for_readers(url) if read_only else url).set(drivername="postgresql+psycopg"),
        # A writer begins its transactions itself, or sends one statement that is a transaction of its own.
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
            "options": " ".join("-c " + f"{name}={value}".replace(" ", "\\ ") for name, value in settings.items()),
        },
    )
    timeout = READ_TIMEOUT if read_only else WRITE_TIMEOUT
    event.listen(engine, "do_connect", Connector(server, patience, is_reader=read_only, timeout=timeout))
    event.listen(engine, "connect", partial(refuse_other_schema, server))
    event.listen(engine, "begin", partial(begin or _set_up, settings))
    if begin is _take_turn:
        event.listen(engine, "connect", lambda connection, _entry: ensure_own_ids(TAKE_TURN, connection))
    return engine


def _session_settings(*, read_only: bool) -> Settings:
    """Returns the server's parameters for each session."""
    return {
        "timezone": "UTC",
        "synchronous_commit": "on",
        "statement_timeout": _milliseconds(READ_TIMEOUT if read_only else WRITE_TIMEOUT),
        "lock_timeout": _milliseconds(READ_TIMEOUT if read_only else LOCK_TIMEOUT),
        "idle_in_transaction_session_timeout": _milliseconds(READ_TIMEOUT),
        "default_transaction_read_only": "on" if read_only else "off",
        # All that a reader reads in one snapshot is from one moment, as on SQLite.
        "default_transaction_isolation": "repeatable read" if read_only else "read committed",
    }


def _begin(settings: Settings, connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
    _set_up(settings, connection)


def _take_turn(settings: Settings, connection: Connection) -> None:
    _begin(settings, connection)
    connection.execute(_wait_for_turn)
    if is_pooled(connection.connection):
        driver: Any = connection.connection.driver_connection
        move_to_own_ids(driver)  # the pooler may have moved to a new primary since the last transaction


def _set_up(settings: Settings, connection: Connection) -> None:
    """Sets for one transaction the parameters that a pooler did not pass on for the session."""
    if is_pooled(connection.connection):
        local = (f"SET LOCAL {name.removeprefix('default_')} = '{value}'" for name, value in settings.items())
        connection.exec_driver_sql("; ".join(local))


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
