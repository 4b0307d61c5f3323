"""What a gunicorn server needs besides its settings: its metrics directory, its hooks, and a log without a second line.

Hooks: https://gunicorn.org/reference/settings/#server-hooks
"""

import gc
import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]  # gunicorn has no types
from gunicorn.sock import close_sockets, create_sockets  # type: ignore[import-untyped]

from webhook_service.settings import Settings, SettingsInvalid

MULTIPROCESS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
SHARED_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # memory, not a disk


class QuietLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's logger without its access record, which is never written: the application logs each request."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Writes nothing."""


class Server:
    """One gunicorn server: the settings it runs with, and its hooks."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # A socket for each worker, among which the kernel spreads connections. Of one for all, whichever worker wakes
        # first takes what it can: now and then nearly all of them, and half of the machine stands idle.
        is_named = settings.bind.startswith(("unix:", "fd:")) or "LISTEN_FDS" in os.environ
        self.reuse_port = sys.platform == "linux" and not is_named
        self._metrics_directory = _metrics_directory(settings.bind)
        self._owner = self._metrics_directory / "server.pid"

    @classmethod
    def from_env(cls) -> "Server":
        """Reads the settings, and makes the directory in which the workers share their metrics.

        Exits with a message when either can't be used.
        """
        try:
            server = cls(Settings.from_env())
        except SettingsInvalid as invalid:
            sys.exit(str(invalid))
        server.make_metrics_directory()
        return server

    def make_metrics_directory(self) -> None:
        """Makes the directory, and has prometheus_client use it, which looks for it when it is imported."""
        self._metrics_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._metrics_directory.stat().st_uid != os.getuid():
            sys.exit(f"the metrics directory {self._metrics_directory} belongs to another user")
        os.environ[MULTIPROCESS_DIRECTORY] = str(self._metrics_directory)

    def on_starting(self, arbiter: Any) -> None:
        """Stops the start, with gunicorn's own message, when another server has the address.

        The workers' sockets would share it with any other program of the same user, and nobody would notice.
        """
        if self.reuse_port and not arbiter.master_pid:
            arbiter.cfg.set("reuse_port", False)
            close_sockets(create_sockets(arbiter.cfg, arbiter.log))
            arbiter.cfg.set("reuse_port", True)

    def when_ready(self, arbiter: Any) -> None:
        """Clears what an earlier server left in the metrics directory, and logs the settings in effect.

        Only from here on does the address belong to this server, and with it the directory.
        """
        for leftover in self._metrics_directory.glob("*.db"):
            leftover.unlink()
        self._owner.write_text(str(os.getpid()))
        arbiter.log.info("starting", extra={"fields": {"settings": self.settings.masked()}})

    def pre_fork(self, _arbiter: Any, _worker: Any) -> None:
        """Hides what every worker shares from the garbage collector, which would look through it again and again.

        https://docs.python.org/3/library/gc.html#gc.freeze
        """
        gc.collect()
        gc.freeze()

    def on_exit(self, _arbiter: Any) -> None:
        """Removes the metrics directory, unless it belongs to another server on the same address."""
        if self._owner.exists() and self._owner.read_text() == str(os.getpid()):
            shutil.rmtree(self._metrics_directory)


def _metrics_directory(bind: str) -> Path:
    given = os.environ.get(MULTIPROCESS_DIRECTORY)
    if given:
        return Path(given)
    server = hashlib.sha256(bind.encode()).hexdigest()[:12]
    return Path(SHARED_MEMORY or "/tmp") / f"webhook_service-{os.getuid()}-{server}"  # noqa: S108
