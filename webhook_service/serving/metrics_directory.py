"""The directory through which the workers of a server share their metrics; the server makes it and removes it.

Only what such a server has made is ever deleted, whatever ``PROMETHEUS_MULTIPROC_DIR`` names.
"""

import atexit
import fcntl
import os
import re
import stat
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

SETTING = "PROMETHEUS_MULTIPROC_DIR"
SHARED_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # memory, not a disk
PREFIX = "webhook_service-metrics-"
MARK = "server.lock"

# As prometheus_client names them: https://prometheus.github.io/client_python/multiprocess/
_VALUES = re.compile(r"(counter|histogram|summary|gauge_[a-z]+)_[0-9]+\.db")


class MetricsDirectory:
    """A new directory that only this user can enter, inside the one that is set, or else in memory.

    The server and its workers hold a lock on a file in it, by which a later server can tell whether they are gone.
    """

    def __init__(self, parent: Path) -> None:
        for left in parent.glob(f"{PREFIX}*"):
            _remove_if_abandoned(left)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        self._lock = os.open(self.path / MARK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._owner = os.getpid()
        atexit.register(self.remove)

    @classmethod
    @cache
    def make(cls) -> "MetricsDirectory":
        """Makes the directory, and sets the variable in which prometheus_client looks for it on import.

        A reload keeps the directory that was made. Exits with a message when it can't be made.
        """
        given = os.environ.get(SETTING)
        parent = Path(given or SHARED_MEMORY or tempfile.gettempdir())
        try:
            directory = cls(parent)
        except OSError as error:
            sys.exit(f"{SETTING}: no directory can be made in {parent} ({error.strerror})")
        os.environ[SETTING] = str(directory.path)
        return directory

    def remove(self) -> None:
        """Removes the directory and what prometheus_client has written there, in the process that made it alone."""
        if os.getpid() == self._owner:
            _remove(self.path)


def _remove_if_abandoned(directory: Path) -> None:
    """Removes the directory of a server that was killed, whose lock is therefore free."""
    with suppress(OSError):
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            return
        lock = os.open(directory / MARK, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(directory)
        finally:
            os.close(lock)


def _remove(directory: Path) -> None:
    with suppress(OSError):  # a directory that holds anything else stays
        for file in directory.iterdir():
            if _VALUES.fullmatch(file.name):
                file.unlink()
        (directory / MARK).unlink()
        directory.rmdir()
