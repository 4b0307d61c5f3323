"""The lock that queues the writers of a SQLite file.

SQLite lets one connection write and makes the others poll for their turn, sleeping between tries. A ``flock`` on a file
beside the database queues them in the kernel instead, wakes the next one at once, and is freed when its holder dies.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock, Semaphore, Thread


class _Deputy:
    """Waits for a ``flock`` in place of a thread that can't wait for ever, as the call knows no timeout.

    It waits on after that thread has given up, for the next one to ask; if nobody has when it gets the lock, it lets go
    of it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._mutex = Lock()
        self._waits = False
        self._is_awaited = False
        self._wanted = Semaphore(0)
        self._got = Semaphore(0)
        Thread(target=self._run, name="writer-lock", daemon=True).start()

    def waits(self) -> bool:
        """Whether it still waits for the lock, which then is not for others of this process to take."""
        with self._mutex:
            return self._waits

    def lock(self, patience: float) -> bool:
        """Whether the lock was got within so many seconds; for one thread at a time."""
        with self._mutex:
            self._is_awaited = True
            if not self._waits:
                self._waits = True
                self._wanted.release()
        if self._got.acquire(timeout=patience):
            return True
        with self._mutex:
            self._is_awaited = False
            return self._got.acquire(blocking=False)

    def _run(self) -> None:
        while True:
            self._wanted.acquire()
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            with self._mutex:
                self._waits = False
                if self._is_awaited:
                    self._got.release()
                else:
                    fcntl.flock(self._descriptor, fcntl.LOCK_UN)


class WriterLock:
    """An exclusive lock between threads and processes on a file that is made when it is first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._deputy: _Deputy | None = None
        self._between_threads = Lock()

    @contextmanager
    def held(self, patience: float | None = None) -> Iterator[None]:
        """Waits for the lock and holds it.

        Raises OSError when its file can't be made, TimeoutError when it was not to be had within ``patience`` seconds.
        """
        if not self._between_threads.acquire(timeout=-1 if patience is None else patience):
            raise TimeoutError
        try:
            descriptor = self._open()
            self._lock(descriptor, patience)
            try:
                yield
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            self._between_threads.release()

    def forget(self) -> None:
        """Starts anew, as a forked child must: a ``flock`` belongs to all who share the open file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._deputy = None
        self._between_threads = Lock()

    def _open(self) -> int:
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        return self._descriptor

    def _lock(self, descriptor: int, patience: float | None) -> None:
        if patience is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            return
        if self._deputy is None or not self._deputy.waits():
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
        self._deputy = self._deputy or _Deputy(descriptor)
        if not self._deputy.lock(patience):
            raise TimeoutError
