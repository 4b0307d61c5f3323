"""Connections and transactions, and the edge at which a driver's errors become the domain's."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Protocol
from weakref import WeakMethod

import psycopg
from sqlalchemy import URL, Connection, Dialect, Engine, event, literal, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from webhook_service.domain import Age, ConnectionLost, StorageBusy, StorageUnavailable
from webhook_service.storage import postgresql, sqlite
from webhook_service.storage.insert import Answer
from webhook_service.storage.outage import Outage
from webhook_service.storage.postgresql import PostgresqlBackend, read_age
from webhook_service.storage.sqlite import SqliteBackend, result_code

SCHEMA_VERSION = "0006"
"""The migration that this code reads and writes; any other is refused before a row is touched."""


WRITER_CONNECTIONS = 2  # the leader's, and one for a look at what would keep it from writing

Transaction = Connection

_PRIMARY = "the database"
_REPLICA = "the replica"


class RowRefused(Exception):
    """The database takes a row of this transaction for invalid, so the transaction was undone."""


class Backend(Protocol):
    """What differs between the databases besides the dialect of their SQL."""

    def create_engine(self, *, pool_size: int, read_only: bool) -> Engine: ...
    def turn_to_write(self, patience: float | None) -> AbstractContextManager[None]: ...
    def queue_in_transaction(self, connection: Connection) -> None: ...
    def is_stale(self) -> bool: ...
    def lift_time_limit(self, connection: Connection) -> None: ...
    def writing_problem(self, connection: Connection) -> str | None: ...
    def forget(self) -> None: ...


class Autocommit:
    """A driver's own connection, on which each statement is a transaction: it is on disk when it returns.

    It takes a statement as a Transaction does. What SQLAlchemy does around one costs more than what SQLite does in it.
    """

    def __init__(self, connection: PoolProxiedConnection, dialect: Dialect) -> None:
        self.dialect = dialect
        self._driver: Any = connection.driver_connection

    def exec_driver_sql(self, statement: str, parameters: tuple[object, ...], /) -> Answer:
        answer: Answer = self._driver.execute(statement, parameters)
        return answer


class Turn:
    """The turn to write, in one statement or in a transaction of many."""

    def __init__(self, backend: Backend, writer: Engine) -> None:
        self._backend = backend
        self._writer = writer

    @contextmanager
    def statement(self) -> Iterator[Autocommit]:
        """For one statement that is a transaction by itself."""
        connection = self._writer.raw_connection()
        try:
            yield Autocommit(connection, self._writer.dialect)
        except psycopg.OperationalError as error:
            if not connection.driver_connection.closed:  # type: ignore[union-attr]  # psycopg's, as its error shows
                raise
            connection.invalidate(error)
            raise ConnectionLost(_not_available(_PRIMARY)) from error
        finally:
            connection.close()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A transaction, committed when the block is left."""
        with self._writer.begin() as connection:
            self._backend.queue_in_transaction(connection)
            yield connection


class Database:
    """The one way to the tables: ``transaction()`` to write, ``snapshot()`` to read.

    With a ``read_url``, of a PostgreSQL replica, ``snapshot()`` reads there, and all else stays where it is written.

    Nothing connects before the first use, and a forked child starts with connections and locks of its own. On SQLite
    it must be forked before that first use: afterwards all the child gets is StorageUnavailable.
    """

    def __init__(self, url: URL, *, pool_size: int, read_url: URL | None = None) -> None:
        self._backend = _backend(url)
        self._writer = self._engine(pool_size=WRITER_CONNECTIONS, read_only=False)
        self._reader = self._engine(pool_size=pool_size, read_only=True)
        self._replica = _replica(read_url, pool_size=pool_size) if read_url else None
        self._outage = Outage()
        forget_parent = WeakMethod(self._forget_parent)
        os.register_at_fork(after_in_child=lambda: (method := forget_parent()) and method())

    @contextmanager
    def turn_to_write(self, patience: float | None = None) -> Iterator[Turn]:
        """The turn to write, which one process has at a time; waits for at most ``patience`` seconds, if given.

        Raises StorageUnavailable when what is written in it can't be committed, RowRefused when a row is to blame.
        """
        self._renew_if_stale()
        with _domain_errors(), self._backend.turn_to_write(patience):
            yield Turn(self._backend, self._writer)

    @contextmanager
    def transaction(self, patience: float | None = None) -> Iterator[Transaction]:
        """A transaction that has the turn to write and is on disk when the block is left; waits and raises like it."""
        with self.turn_to_write(patience) as turn, turn.transaction() as transaction:
            yield transaction

    @contextmanager
    def savepoint(self, transaction: Transaction) -> Iterator[None]:
        """A part of a transaction that is undone alone; RowRefused when a row of it is to blame."""
        with _domain_errors(), transaction.begin_nested():
            yield

    def snapshot(self) -> AbstractContextManager[Connection]:
        """A connection whose statements can only read; StorageUnavailable when there is none to be had.

        Where there is a replica it is the replica's, and what was just written may not be there yet.
        """
        return self._replica_snapshot(self._replica) if self._replica else self.primary_snapshot()

    @contextmanager
    def primary_snapshot(self) -> Iterator[Connection]:
        """The same of all that is written: for what decides about a write."""
        self._renew_if_stale()
        with _domain_errors(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def long_snapshot(self) -> Iterator[Connection]:
        """A primary snapshot for work that takes as long as it takes, such as reading the whole store."""
        with self.primary_snapshot() as connection:
            self._backend.lift_time_limit(connection)
            yield connection

    def read_age(self, snapshot: Connection) -> Age | None:
        """How old the answers of a snapshot are at most, when it is asked first; None when there is no replica."""
        return read_age(snapshot) if self._replica else None

    def problems(self) -> list[str]:
        """What keeps the next message from being stored or read back; empty when nothing does."""
        try:
            with self.primary_snapshot() as connection:
                connection.execute(select(literal(1)))
            with _domain_errors(), self._writer.connect() as connection:
                problem = self._backend.writing_problem(connection)
        except StorageUnavailable as unavailable:
            return [unavailable.detail]
        return [problem] if problem else []

    def close(self) -> None:
        """Closes every connection."""
        for engine in self._engines():
            engine.dispose()

    def _forget_parent(self) -> None:
        """Lets go of what a forked child inherited, leaving the parent's connections alone."""
        for engine in self._engines():
            engine.dispose(close=False)
        self._backend.forget()

    def _renew_if_stale(self) -> None:
        if self._backend.is_stale():
            self.close()

    def _engines(self) -> list[Engine]:
        return [engine for engine in (self._writer, self._reader, self._replica) if engine]

    @contextmanager
    def _replica_snapshot(self, replica: Engine) -> Iterator[Connection]:
        with self._outage.noticed(), _domain_errors(_REPLICA):
            connection = replica.connect()
        with _domain_errors(_REPLICA), connection:
            yield connection

    def _engine(self, *, pool_size: int, read_only: bool) -> Engine:
        engine = self._backend.create_engine(pool_size=pool_size, read_only=read_only)
        event.listen(engine, "connect", partial(_refuse_other_schema, _PRIMARY))
        return engine


def _backend(url: URL) -> Backend:
    return SqliteBackend(url) if url.drivername == "sqlite" else PostgresqlBackend(url)


def _replica(url: URL, *, pool_size: int) -> Engine:
    engine = PostgresqlBackend(url).create_replica_engine(pool_size=pool_size)
    event.listen(engine, "connect", partial(_refuse_other_schema, _REPLICA))
    return engine


def _refuse_other_schema(server: str, connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute("SELECT version_num FROM alembic_version")
        row = cursor.fetchone()
        connection.rollback()
    except (sqlite3.OperationalError, psycopg.errors.UndefinedTable) as error:
        if result_code(error) in {sqlite3.SQLITE_ERROR, None}:  # "no such table" has no code of its own
            raise StorageUnavailable(f"{server} is not migrated") from error
        raise
    finally:
        cursor.close()
    if row is None or row[0] != SCHEMA_VERSION:
        found = "none" if row is None else row[0]
        raise StorageUnavailable(f"{server} is at migration {found}, not at {SCHEMA_VERSION}")


@contextmanager
def _domain_errors(server: str = _PRIMARY) -> Iterator[None]:
    try:
        yield
    except (IntegrityError, DataError) as error:
        # The driver's text and its wrapper's quote the row, which no log may show.
        raise RowRefused(type(error.orig).__name__) from None
    except (sqlite3.IntegrityError, sqlite3.DataError, psycopg.IntegrityError, psycopg.DataError) as error:
        raise RowRefused(type(error).__name__) from None
    except UnicodeEncodeError as error:
        # A lone surrogate, which no driver can send; this text quotes the row too.
        raise RowRefused(type(error).__name__) from None
    except DBAPIError as error:
        if error.connection_invalidated:
            raise ConnectionLost(_not_available(server)) from error.orig
        raise _unavailable(server, error.orig) from error.orig
    except (PoolTimeout, sqlite3.Error, psycopg.Error) as error:
        raise _unavailable(server, error) from error


def _unavailable(server: str, error: BaseException | None) -> StorageUnavailable:
    kind = StorageBusy if result_code(error) == sqlite3.SQLITE_BUSY else StorageUnavailable
    return kind(sqlite.detail(error) or postgresql.detail(error) or _not_available(server))


def _not_available(server: str) -> str:
    return f"{server} is not available"
