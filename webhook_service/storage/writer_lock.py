"""The lock by which the writers of a SQLite file take turns, in whatever process they are.

SQLite lets one connection write and makes the others poll for their turn, with pauses that grow to a tenth of a second.
A ``flock`` on a file beside the database can be polled more often, and is freed when its holder dies.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Seconds between two tries. ``flock`` itself can wait, but not with a time limit, and the holder may be stopped.
SHORTEST_PAUSE = 0.0002
LONGEST_PAUSE = 0.002
GROWTH = 1.2


class WriterLock:
    """A lock that one process holds at a time, on a file that is made on first use; one thread at a time may use it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @contextmanager
    def acquired(self, patience: float | None = None) -> Iterator[None]:
        """Waits for the lock for at most ``patience`` seconds, if given, and holds it.

        Raises OSError when its file can't be made, TimeoutError when another process kept it for too long.
        """
        descriptor = self._open()
        _lock(descriptor, patience)
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def forget(self) -> None:
        """Starts anew, as a forked child must: a ``flock`` belongs to all processes that share the open file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        return self._descriptor


def _lock(descriptor: int, patience: float | None) -> None:
    deadline = None if patience is None else time.monotonic() + patience
    pause = SHORTEST_PAUSE
    while not _try_to_lock(descriptor):
        if deadline is not None and time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(pause)
        pause = min(pause * GROWTH, LONGEST_PAUSE)


def _try_to_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
