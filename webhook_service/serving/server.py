"""What a gunicorn server needs besides its settings: its hooks, its open files, and a log without a second line.

Hooks: https://gunicorn.org/reference/settings/#server-hooks
"""

import gc
import os
import resource
import sys
from functools import partial
from threading import Thread
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]  # gunicorn has no types
from gunicorn.sock import close_sockets, create_sockets  # type: ignore[import-untyped]

from webhook_service.domain.errors import StorageUnavailable
from webhook_service.intake.take_in import INTAKE
from webhook_service.serving.metrics_directory import MetricsDirectory
from webhook_service.settings import Settings, SettingsInvalid

MOST_CONNECTIONS = 4096  # of a worker; each may hold as much as framing.MAX_WHOLE of an unfinished request
RESERVED_FILES = 128  # of a worker, for listeners, log, metrics and modules; a thread has up to 4 for the database


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
        self.worker_connections = _connections_that_files_allow(settings.threads)

    @classmethod
    def from_env(cls) -> "Server":
        """Reads the settings, and makes what the workers share. Exits with a message when either can't be used."""
        try:
            server = cls(Settings.from_env())
        except SettingsInvalid as invalid:
            sys.exit(str(invalid))
        MetricsDirectory.make()
        return server

    def on_starting(self, arbiter: Any) -> None:
        """Stops the start, with gunicorn's own message, when another server has the address.

        The workers' sockets would share it with any other program of the same user, and nobody would notice.
        """
        arbiter.handle_hup = partial(_refuse_to_reload, arbiter.log)
        if self.reuse_port and not arbiter.master_pid:
            arbiter.cfg.set("reuse_port", False)
            close_sockets(create_sockets(arbiter.cfg, arbiter.log))
            arbiter.cfg.set("reuse_port", True)

    def when_ready(self, arbiter: Any) -> None:
        """Logs the settings in effect, with the address that gunicorn's own line leaves out."""
        arbiter.log.info(
            "starting", extra={"fields": {"address": self.settings.bind, "settings": self.settings.masked()}}
        )

    def pre_fork(self, arbiter: Any, worker: Any) -> None:
        """Shows the worker which signals it inherits, and hides what all share from the garbage collector.

        It would look through that again and again: https://docs.python.org/3/library/gc.html#gc.freeze
        """
        worker.signals = arbiter.SIG_QUEUE
        gc.collect()
        gc.freeze()

    def post_worker_init(self, worker: Any) -> None:
        """Has the first worker say what the database lacks. It has connections, which the parent of all must not."""
        if self.settings.require_sync_replica and worker.age == 1:
            Thread(target=_warn, args=(worker,), daemon=True).start()


def _warn(worker: Any) -> None:
    try:
        for warning in worker.wsgi.extensions[INTAKE].warnings():
            worker.log.warning(warning)
    except StorageUnavailable as unavailable:
        worker.log.warning("whether a replica is synchronous is not known: %s", unavailable.detail)


def _connections_that_files_allow(threads: int) -> int:
    """Raises the limit on open files as far as this process may, and returns how many connections a worker can have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + RESERVED_FILES + 4 * threads
    if soft != resource.RLIM_INFINITY:
        soft = max(soft, wanted if hard == resource.RLIM_INFINITY else min(wanted, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        wanted = min(wanted, soft)
    return max(wanted - RESERVED_FILES - 4 * threads, threads + 1)


def _refuse_to_reload(log: Any) -> None:
    # gunicorn would keep the application, and with it the secrets, and the queues of the old workers' sockets be lost.
    log.warning("settings are read at the start only: SIGHUP is ignored, restart the server instead")
