"""An index of SQLite that is made in steps, between which others write.

CREATE INDEX keeps the turn to write until the index is whole. But a table WITHOUT ROWID whose primary key is the
columns of an index and the ID of the row has the same bytes on disk as that index, and a table can be filled a little
at a time. So the entries are written to such a table, triggers keep it up with the rows that come and go, and in the
end a change of the schema declares it to be the index.
https://www.sqlite.org/fileformat2.html#representation_of_sql_indices

docs/decisions/0015 says what else was tried.
"""

# ruff: noqa: S608  # all names in the statements are those of a migration
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from webhook_service.storage.writer_lock import WriterLock

ROWS = 2_000  # that get their entries in one turn to write: some milliseconds


class IndexInSteps:
    """An index of a table that has IDs; what an earlier attempt left unfinished is gone on with.

    ``connection`` must not begin transactions of its own accord. Several processes may build an index at once.
    """

    def __init__(
        self, connection: Connection, lock: WriterLock, name: str, table: str, columns: tuple[str, ...]
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._name = name
        self._table = table
        self._columns = columns
        self._entries = f"unfinished_{name}"
        self._triggers = tuple(f"{self._entries}_{event}" for event in ("insert", "delete", "update"))

    def is_possible(self) -> bool:
        """Tells whether the index is missing, and can be made in steps.

        A primary key holds no NULL and no expression, and some builds of SQLite let nobody change the schema like this.
        """
        columns = self._scalars(f"SELECT name FROM pragma_table_info('{self._table}') WHERE \"notnull\" OR pk")
        return {"id", *self._columns} <= set(columns) and not self._exists(self._name) and self._may_declare()

    def build(self) -> None:
        """Makes the index, and leaves half of the time to others.

        Entries that are not one for each row are thrown away, and there is no index then.
        """
        with self._turn():
            if self._exists(self._name):  # another process was first, here and below
                return
            if not self._exists(self._entries):
                self._prepare()
        # Entries that are written in their order are written side by side, on few pages.
        self._execute(f"CREATE TEMP TABLE sorted AS SELECT id FROM {self._table} ORDER BY {self._key()}")
        for after in range(0, self._count("sorted"), ROWS):
            began = time.monotonic()
            with self._turn():
                if self._exists(self._entries):
                    self._fill(after)
            time.sleep(time.monotonic() - began)
        self._execute("DROP TABLE sorted")
        is_whole = self._is_whole()
        try:
            with self._turn():
                if self._exists(self._entries):
                    self._end(declare=is_whole)
        finally:
            self._execute("PRAGMA writable_schema = RESET")

    def _prepare(self) -> None:
        typed = self._connection.exec_driver_sql(f"SELECT name, type FROM pragma_table_info('{self._table}')")
        types = {column.name: column.type for column in typed}
        columns = "".join(f"{column} {types[column]} NOT NULL, " for column in self._columns)
        add = f"INSERT INTO {self._entries} VALUES ({self._key('new.')})"
        remove = f"DELETE FROM {self._entries} WHERE ({self._key()}) = ({self._key('old.')})"
        self._execute(f"CREATE TABLE {self._entries} ({columns}id INTEGER, PRIMARY KEY ({self._key()})) WITHOUT ROWID")
        for trigger, statements in zip(self._triggers, (add, remove, f"{remove}; {add}"), strict=True):
            event = trigger.rpartition("_")[2]
            self._execute(f"CREATE TRIGGER {trigger} AFTER {event} ON {self._table} BEGIN {statements}; END")

    def _fill(self, after: int) -> None:
        # A row that was changed since it was sorted has its entry by a trigger, and those that are gone have none.
        self._execute(
            f"INSERT OR IGNORE INTO {self._entries} SELECT {self._key('stored.')}"
            f" FROM sorted CROSS JOIN {self._table} AS stored ON stored.id = sorted.id"
            f" WHERE sorted.rowid > {after} AND sorted.rowid <= {after + ROWS} ORDER BY sorted.rowid"
        )

    def _is_whole(self) -> bool:
        """Compares the entries with the rows, as they are in one moment."""
        self._execute("BEGIN")
        is_whole = self._exists(self._entries) and self._count(self._entries) == self._count(self._table)
        self._execute("ROLLBACK")
        return is_whole

    def _end(self, *, declare: bool) -> None:
        for trigger in self._triggers:
            self._execute(f"DROP TRIGGER {trigger}")
        if not declare:
            self._execute(f"DROP TABLE {self._entries}")
            return
        definition = f"CREATE INDEX {self._name} ON {self._table} ({', '.join(self._columns)})"
        self._execute("PRAGMA writable_schema = ON")
        self._execute(
            f"UPDATE sqlite_master SET type = 'index', name = '{self._name}', tbl_name = '{self._table}',"
            f" sql = '{definition}' WHERE type = 'table' AND name = '{self._entries}'"
        )

    def _may_declare(self) -> bool:
        self._execute("PRAGMA writable_schema = ON")
        may = self._scalars("PRAGMA writable_schema") == [1]
        self._execute("PRAGMA writable_schema = OFF")
        return may

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """A transaction, in the turn to write."""
        with self._lock.acquired():
            self._execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._execute("ROLLBACK")
                raise
            self._execute("COMMIT")

    def _key(self, prefix: str = "") -> str:
        return ", ".join(f"{prefix}{column}" for column in (*self._columns, "id"))

    def _exists(self, name: str) -> bool:
        return bool(self._scalars(f"SELECT 1 FROM sqlite_master WHERE name = '{name}'"))

    def _count(self, table: str) -> int:
        (rows,) = self._scalars(f"SELECT count(*) FROM {table}")
        return int(rows)

    def _execute(self, statement: str) -> None:
        self._connection.exec_driver_sql(statement)

    def _scalars(self, statement: str) -> list[Any]:
        return list(self._connection.exec_driver_sql(statement).scalars())
