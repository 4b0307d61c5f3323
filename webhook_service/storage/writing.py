"""Writing to a database, for whoever has the turn to write."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

import psycopg
from sqlalchemy import Connection, Dialect, Engine
from sqlalchemy.pool import PoolProxiedConnection

from webhook_service.storage.errors import PRIMARY, connection_lost
from webhook_service.storage.patience import is_pooled

Transaction = Connection


class StatementResult(Protocol):
    """The result of a statement: its rows, and how many it changed."""

    @property
    def rowcount(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...


class Executor(Protocol):
    """Executes statements in the driver's own syntax: a transaction, or a connection that commits each statement."""

    @property
    def dialect(self) -> Dialect: ...
    def exec_driver_sql(self, statement: str, parameters: tuple[object, ...], /) -> StatementResult: ...


class DriverConnection:
    """A driver's own connection, on which each statement is a transaction, unless it is one of a transaction's block.

    It is called as a Transaction is. What SQLAlchemy does around a statement costs more than SQLite's own work for it.
    """

    def __init__(self, connection: PoolProxiedConnection, dialect: Dialect) -> None:
        self.dialect = dialect
        self._driver: Any = connection.driver_connection

    def exec_driver_sql(self, statement: str, parameters: tuple[object, ...], /) -> StatementResult:
        """Executes a statement in the driver's own syntax."""
        answer: StatementResult = self._driver.execute(statement, parameters)
        return answer

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Makes the statements of the block one transaction; the pool undoes what an exception leaves of it."""
        self._driver.execute("BEGIN IMMEDIATE" if self.dialect.name == "sqlite" else "BEGIN")
        yield
        self._driver.execute("COMMIT")


class Turn:
    """The turn to write, for one statement or for a transaction of many."""

    def __init__(self, writer: Engine) -> None:
        self._writer = writer

    @contextmanager
    def driver_connection(self, *, in_one_transaction: bool) -> Iterator[Executor]:
        """Gives a driver's own connection, which costs less than a ``transaction``.

        Each statement on it is a transaction by itself, or all are one, as they always are behind a pooler.
        """
        connection = self._writer.raw_connection()
        if is_pooled(connection):
            connection.close()
            with self.transaction() as transaction:
                yield transaction
            return
        try:
            driver = DriverConnection(connection, self._writer.dialect)
            with driver.transaction() if in_one_transaction else nullcontext():
                yield driver
        except psycopg.OperationalError as error:
            if not connection.driver_connection.closed:  # type: ignore[union-attr]  # psycopg's, as its error shows
                raise
            connection.invalidate(error)
            raise connection_lost(PRIMARY, error) from error
        finally:
            connection.close()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Opens a transaction that is committed when the block ends."""
        with self._writer.begin() as connection:
            yield connection
