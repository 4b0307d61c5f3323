"""The lock that queues the writers of a SQLite file.

SQLite lets one connection write and makes the others poll for their turn, sleeping between tries. A ``flock`` on a file
beside the database queues them in the kernel instead, wakes the next one at once, and is freed when its holder dies.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock


class WriterLock:
    """An exclusive lock between threads and processes on a file that is made when it is first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._between_threads = Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Waits for the lock and holds it; OSError when its file can't be made."""
        with self._between_threads:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def forget(self) -> None:
        """Starts anew, as a forked child must: a ``flock`` belongs to all who share the open file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._between_threads = Lock()
