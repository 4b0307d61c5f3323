"""SQLite: one file, one writer, synced at every commit.

Pragmas: https://www.sqlite.org/pragma.html; write-ahead log: https://www.sqlite.org/wal.html
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from webhook_service.domain import StorageBusy, StorageUnavailable
from webhook_service.storage.writer_lock import WriterLock

READER_TIMEOUT = 5.0  # seconds that a reader waits for SQLite's own locks
# Seconds that a writer waits for one that does not take the lock, such as the sqlite3 shell. It holds the turn
# meanwhile, and each process has its turn, so this is short and the writer tries again.
WRITER_TIMEOUT = 0.05
CHECKPOINT_PAGES = 4000  # 16 MB of log. A page that is written often goes into the database once in all that
ROOM_TO_WRITE = 16 * 2**20  # bytes that must be free for the service to call itself ready

_DETAILS = {
    sqlite3.SQLITE_BUSY: "another program writes to the database",
    sqlite3.SQLITE_CANTOPEN: "the database file is missing or can't be opened",
    sqlite3.SQLITE_CORRUPT: "the database file is damaged",
    sqlite3.SQLITE_FULL: "no room to write",
    sqlite3.SQLITE_NOTADB: "the database file is not a database",
    sqlite3.SQLITE_READONLY: "the database is not writable",
}


def result_code(error: BaseException | None) -> int | None:
    """The primary result code of a SQLite error (https://www.sqlite.org/rescode.html); None for any other error."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def detail(error: BaseException | None) -> str | None:
    """What a SQLite error says about the state of the database, in the service's words."""
    return _DETAILS.get(result_code(error) or sqlite3.SQLITE_OK)


class SqliteBackend:
    """Connections to one SQLite file that is never made here: only a migration makes it."""

    def __init__(self, url: URL) -> None:
        self._path = Path(url.database or "").absolute()
        self._lock = WriterLock(self._path.with_name(self._path.name + ".lock"))
        self._opened: tuple[int, int] | None = None
        self._opened_before_fork = False

    def create_engine(self, *, pool_size: int, read_only: bool) -> Engine:
        """An engine whose connections sync every commit, or refuse to write."""
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
            connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

        return engine

    @contextmanager
    def turn_to_write(self, patience: float | None) -> Iterator[None]:
        """Waits until no other process writes, and keeps it so; StorageBusy after ``patience`` seconds."""
        try:
            held = self._lock.held(patience)
            held.__enter__()
        except TimeoutError as error:
            raise StorageBusy(_DETAILS[sqlite3.SQLITE_BUSY]) from error
        except OSError as error:
            raise StorageUnavailable("the folder of the database is not writable") from error
        try:
            yield
        finally:
            held.__exit__(None, None, None)

    def queue_in_transaction(self, connection: Connection) -> None:
        """Nothing more to wait for: the turn was taken before the transaction."""

    def is_stale(self) -> bool:
        """Whether connections are open to a file that is no longer the one at the path."""
        return self._opened is not None and self._opened != self._identity()

    def lift_time_limit(self, connection: Connection) -> None:
        """Nothing to lift: a statement may take any time."""

    def writing_problem(self, _connection: Connection) -> str | None:
        """What would keep the next message from being stored, if anything."""
        if not os.access(self._path, os.W_OK) or not os.access(self._path.parent, os.W_OK):
            return "the database is not writable"
        room = os.statvfs(self._path.parent)
        if room.f_bavail * room.f_frsize < ROOM_TO_WRITE:
            return "no room to write"
        return None

    def forget(self) -> None:
        """Lets go of what a forked child must not share.

        SQLite itself can't: a child's copy of it takes the parent's locks for its own, so a file that was open is
        out of bounds for the child (https://www.sqlite.org/howtocorrupt.html, section 2.6).
        """
        self._lock.forget()
        self._opened_before_fork |= self._opened is not None

    def _connect(self, timeout: float) -> sqlite3.Connection:
        if self._opened_before_fork:
            raise StorageUnavailable("the database was opened before this process was forked")
        self._opened = self._identity()
        # Transactions are begun by the engine's event, so that a writer never has to upgrade a read lock.
        return sqlite3.connect(
            f"file:{quote(str(self._path))}?mode=rw",
            uri=True,
            isolation_level=None,
            timeout=timeout,
            check_same_thread=False,
        )

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino
