"""Indexes on tables that may have millions of rows, which a migration adds or drops while deliveries go on.

A migration that adds one names it in ``LARGE_INDEXES`` and calls its ``create`` in ``upgrade``::

    LARGE_INDEXES = (LargeIndex("ix_messages_type", "messages", ("type",)),)

    def upgrade() -> None:
        for index in LARGE_INDEXES:
            index.create()

It is built beforehand, while deliveries go on, and ``create`` then finds it there. On SQLite that takes columns that
are never null. Any other index is made by ``create`` in the turn to write, and deliveries wait.

A migration that drops an index names it in ``DROPPED_INDEXES`` as well. On PostgreSQL it is dropped beforehand, since
in the migration's transaction it would wait for everyone who reads the table, and keep deliveries waiting meanwhile.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from alembic import op
from sqlalchemy import Connection, inspect, text

from webhook_service.storage.index_in_steps import IndexInSteps
from webhook_service.storage.postgresql import ADVISORY_LOCK
from webhook_service.storage.writer_lock import WriterLock

_BUILDING = ADVISORY_LOCK + 1  # one process builds, and must not keep the others from writing
_is_valid = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
_PAUSE = 0.2  # seconds between two looks for whether another process is done


@dataclass(frozen=True, slots=True)
class LargeIndex:
    """An index by its name, its table, and its columns or expressions."""

    name: str
    table: str
    columns: tuple[str, ...]

    def create(self) -> None:
        """Makes the index in the transaction of the migration, unless it is there."""
        connection = op.get_bind()
        if connection.dialect.name == "sqlite":
            op.execute(f"CREATE INDEX IF NOT EXISTS {self._definition()}")
        # Here IF NOT EXISTS would lock the table, on which writers that wait for this transaction's turn hold a lock.
        elif connection.scalar(_is_valid, {"name": self.name}) is None:
            op.execute(f"CREATE INDEX {self._definition()}")

    def build(self, connection: Connection) -> None:
        """Makes the index while others write; ``connection`` has to be in autocommit mode.

        An index that an earlier build left unfinished is made anew.
        https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
        """
        is_valid = connection.scalar(_is_valid, {"name": self.name})
        if is_valid is False:
            connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY {self.name}")
        if not is_valid:
            connection.exec_driver_sql(f"CREATE INDEX CONCURRENTLY {self._definition()}")

    def build_in_steps(self, connection: Connection, lock: WriterLock) -> None:
        """Makes the index in a SQLite file while others write; leaves it to ``create`` where that is not possible."""
        index = IndexInSteps(connection, lock, self.name, self.table, self.columns)
        if index.is_possible():
            index.build()

    def _definition(self) -> str:
        return f"{self.name} ON {self.table} ({', '.join(self.columns)})"


def build_large_indexes(connection: Connection, indexes: Iterable[LargeIndex]) -> None:
    """Builds the indexes whose tables are there, one process at a time; ``connection`` has to be in autocommit mode."""
    tables = set(inspect(connection).get_table_names())
    wanted = [index for index in indexes if index.table in tables]
    if wanted:
        with _alone(connection):
            for index in wanted:
                index.build(connection)


def drop_indexes(connection: Connection, names: Iterable[str]) -> None:
    """Drops the indexes that are there, while others read and write; ``connection`` has to be in autocommit mode.

    https://www.postgresql.org/docs/current/sql-dropindex.html
    """
    present = [name for name in names if connection.scalar(_is_valid, {"name": name}) is not None]
    if present:
        with _alone(connection):
            for name in present:
                connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    # Waiting for the lock in the server would be a transaction, and the process that builds waits for its end.
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _BUILDING}):
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _BUILDING})
