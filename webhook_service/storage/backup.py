"""Copies a SQLite database while it is in use, by the online backup API: https://www.sqlite.org/backup.html"""

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL

from webhook_service.domain.errors import StorageUnavailable
from webhook_service.storage.errors import sqlite_detail
from webhook_service.storage.sqlite import READER_TIMEOUT

PAGES_A_STEP = 1_000  # few enough that an interrupted backup stops at once

Progress = Callable[[int, int], None]


def back_up(url: URL, file: Path, progress: Progress) -> None:
    """Copies the database as it is at one moment into a new file; writers go on meanwhile.

    The file gets its name only once it is whole, checked and on disk, and only its owner may read it. ``progress`` is
    called with the number of pages that are copied and the number of all. The database may be at any migration. Raises
    FileExistsError when there is such a file, or an unfinished one, and StorageUnavailable when the database can't be
    read or is damaged, or the copy can't be written.
    """
    with _unavailable(), _new_file(file) as unfinished:
        _copy(Path(url.database or "").absolute(), unfinished, progress)


def _copy(database: Path, file: Path, progress: Progress) -> None:
    with (
        closing(sqlite3.connect(_uri(database), uri=True, isolation_level=None, timeout=READER_TIMEOUT)) as source,
        closing(sqlite3.connect(_uri(file), uri=True, isolation_level=None)) as copy,
    ):
        # One read transaction around all steps: without it each step would see what was written since the last one, and
        # the backup would begin anew each time, perhaps forever.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master")
        source.backup(
            copy,
            pages=PAGES_A_STEP,
            progress=lambda _status, remaining, total: progress(total - remaining, total),
        )
        source.execute("COMMIT")
        # Damaged pages are copied, too.
        if copy.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
            raise StorageUnavailable("the database file is damaged")


@contextmanager
def _new_file(file: Path) -> Iterator[Path]:
    """Makes a file under a temporary name, which gets its own name when the block succeeds and is deleted otherwise."""
    unfinished = file.with_name(f"{file.name}.unfinished")
    _refuse_existing(file)
    os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield unfinished
        _sync(unfinished)
        _refuse_existing(file)
        unfinished.rename(file)
        _sync(file.parent)
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            unfinished.with_name(unfinished.name + suffix).unlink(missing_ok=True)


def _refuse_existing(file: Path) -> None:
    if file.exists() or file.is_symlink():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(file))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _uri(path: Path) -> str:
    """Returns the URI that opens a file that is there, and never makes one."""
    return f"file:{quote(str(path.absolute()))}?mode=rw"


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise
    except sqlite3.Error as error:
        raise StorageUnavailable(sqlite_detail(error) or "the database is not available", str(error)) from error
    except OSError as error:
        raise StorageUnavailable("the backup can't be written", str(error)) from error
