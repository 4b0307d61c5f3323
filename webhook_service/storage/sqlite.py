"""SQLite: one file, one writer, synced at every commit.

Pragmas: https://www.sqlite.org/pragma.html; write-ahead log: https://www.sqlite.org/wal.html
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool

from webhook_service.domain.errors import StorageBusy, StorageUnavailable
from webhook_service.domain.statistics import Space
from webhook_service.storage.changes import SqliteChanges
from webhook_service.storage.errors import BUSY, MISSING, PRIMARY
from webhook_service.storage.schema_version import refuse_other_schema
from webhook_service.storage.writer_lock import WriterLock
from webhook_service.storage.writing import Turn

READER_TIMEOUT = 5.0  # seconds that a reader waits for SQLite's own locks
# Seconds that a writer waits for programs that don't take the service's lock, such as the sqlite3 shell. It holds the
# turn meanwhile, so this is short: the writer tries again, and other processes get their turn in between.
WRITER_TIMEOUT = 0.05
WRITER_CONNECTIONS = 1  # one thread at a time writes
CHECKPOINT_PAGES = 4000  # 16 MB of log, so a page that is written often is copied to the database only once per 16 MB
ROOM_TO_WRITE = 16 * 2**20  # bytes that must be free for the service to call itself ready


class _FileConnection(sqlite3.Connection):
    """A connection that knows its file by device and inode, since another one may take its place."""

    file: tuple[int, int] | None = None


class SqliteBackend:
    """Connections to one SQLite file, which is never made here: only a migration makes it."""

    def __init__(self, url: URL, *, pool_size: int) -> None:
        self._path = Path(url.database or "").absolute()
        self._lock = WriterLock(self._path.with_name(self._path.name + ".lock"))
        self._is_opened = False
        self._opened_before_fork = False
        self._writer = self._engine(pool_size=WRITER_CONNECTIONS, read_only=False)
        self._reader = self._engine(pool_size=pool_size, read_only=True)

    @contextmanager
    def turn_to_write(self, patience: float | None) -> Iterator[Turn]:
        """Waits until no other process writes, for at most ``patience`` seconds, if given; StorageBusy after that."""
        if self._file() is None:  # or the lock would be made, in a folder that may not be the database's at all
            raise StorageUnavailable(MISSING, f"{self._path} is missing")
        try:
            acquired = self._lock.acquired(patience)
            acquired.__enter__()
        except TimeoutError as error:
            raise StorageBusy(BUSY) from error
        except OSError as error:
            raise StorageUnavailable("the folder of the database is not writable", str(error)) from error
        try:
            yield Turn(self._writer)
        finally:
            acquired.__exit__(None, None, None)

    def transaction_without_turn(self) -> None:
        """Returns None, as every transaction needs the turn to write."""

    def changes(self) -> SqliteChanges:
        """Opens a connection that notices what is stored."""
        connection = self._connect(READER_TIMEOUT)
        return SqliteChanges(connection, lambda: connection.file == self._file())

    def reading(self, *, unlimited: bool) -> AbstractContextManager[Connection]:  # noqa: ARG002  # nothing limits them
        """Gives a connection that can only read, without a time limit."""
        return self._reader.connect()

    def problem(self) -> str | None:
        """Says what keeps the next message from being stored; None when nothing does."""
        if not os.access(self._path, os.W_OK) or not os.access(self._path.parent, os.W_OK):
            return "the database is not writable"
        return "no room to write" if self._free() < ROOM_TO_WRITE else None

    def space(self) -> Space:
        """Measures the file with its log, and what is free on their disk."""
        files = (self._path, self._path.with_name(self._path.name + "-wal"))
        try:
            return Space(sum(file.stat().st_size for file in files if file.exists()), self._free())
        except OSError as error:
            raise StorageUnavailable("the folder of the database is not readable", str(error)) from error

    def close(self) -> None:
        """Closes every connection."""
        self._writer.dispose()
        self._reader.dispose()

    def forget(self) -> None:
        """Drops what a forked child must not share.

        SQLite itself can't do that: the child's copy of it takes the parent's locks for its own, so the child must not
        open a file that was open before (https://www.sqlite.org/howtocorrupt.html, section 2.6).
        """
        self._writer.dispose(close=False)
        self._reader.dispose(close=False)
        self._lock.forget()
        self._opened_before_fork |= self._is_opened

    def _free(self) -> int:
        room = os.statvfs(self._path.parent)
        return room.f_bavail * room.f_frsize

    def _engine(self, *, pool_size: int, read_only: bool) -> Engine:
        """Makes an engine whose connections sync every commit; with ``read_only``, they refuse to write."""
        engine = create_engine(
            "sqlite://",
            creator=partial(self._connect, READER_TIMEOUT if read_only else WRITER_TIMEOUT),
            poolclass=QueuePool,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=5,
            hide_parameters=True,
        )

        @event.listens_for(engine, "connect")
        def configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            cursor.execute("PRAGMA foreign_keys = ON")
            cursor.execute("PRAGMA temp_store = MEMORY")
            cursor.execute("PRAGMA secure_delete = ON")
            cursor.execute(f"PRAGMA query_only = {int(read_only)}")
            cursor.close()

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            # Not by SQLAlchemy, which would take longer than SQLite does.
            driver: Any = connection.connection.driver_connection
            driver.execute("BEGIN" if read_only else "BEGIN IMMEDIATE")

        event.listen(engine, "connect", partial(refuse_other_schema, PRIMARY))
        event.listen(engine, "checkout", self._refuse_replaced)
        return engine

    def _connect(self, timeout: float) -> "_FileConnection":
        if self._opened_before_fork:
            raise StorageUnavailable("the database was opened before this process was forked")
        self._is_opened = True
        file = self._file()
        # The engine's event begins transactions, so that a writer never has to upgrade a read lock.
        connection = sqlite3.connect(
            f"file:{quote(str(self._path))}?mode=rw",
            uri=True,
            isolation_level=None,
            timeout=timeout,
            check_same_thread=False,
            factory=_FileConnection,
        )
        connection.file = file
        return connection

    def _refuse_replaced(
        self, connection: DBAPIConnection, _entry: ConnectionPoolEntry, _proxy: PoolProxiedConnection
    ) -> None:
        """Has the pool open the file anew if another has taken the place of the one that a connection was made to.

        A writer has its turn by then, so nobody replaces the file between this look and its commit who takes turns.
        """
        if connection.file != self._file():
            raise DisconnectionError("the database file was replaced")

    def _file(self) -> tuple[int, int] | None:
        """Returns the device and the inode of the file that is there now; None when there is none."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino
