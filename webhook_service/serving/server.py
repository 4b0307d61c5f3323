"""The parts of a gunicorn server besides its settings: hooks, the limit on open files, a log without access lines.

Hooks: https://gunicorn.org/reference/settings/#server-hooks
"""

import gc
import resource
from collections.abc import Callable
from functools import partial
from signal import SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK, SIGINT, SIGQUIT, SIGTERM, pthread_sigmask
from threading import Thread
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]  # gunicorn has no types
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from webhook_service.domain.errors import StorageUnavailable
from webhook_service.intake.take_in import INTAKE
from webhook_service.serving import listeners
from webhook_service.serving.metrics_directory import MetricsDirectory
from webhook_service.serving.reloading import refuse_to_count, reload
from webhook_service.settings import Settings, SettingsInvalid

STOPS = {SIGINT, SIGQUIT, SIGTERM}
MOST_CONNECTIONS = 4096  # of a worker; each may hold up to framing.MAX_WHOLE bytes of an unfinished request
RESERVED_FILES = 128  # of a worker, for listeners, log, metrics and modules; a thread has up to 4 more for the database


class QuietLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's logger without access records: the application itself logs each request."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Writes nothing."""


class Server:
    """One gunicorn server: the settings it runs with, and its hooks."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.worker_connections = _raise_file_limit(settings.threads)
        self._has_own_listeners = listeners.has_own_listeners(settings.bind)

    @classmethod
    def from_env(cls) -> "Server":
        """Reads the settings, and makes what the workers share. Exits with a message when either fails."""
        try:
            server = cls(Settings.from_env())
        except SettingsInvalid as invalid:
            raise SystemExit(invalid) from None  # Python shows its text
        MetricsDirectory.make()
        return server

    def on_starting(self, arbiter: Any) -> None:
        """Makes SIGHUP read the settings anew, and opens the first listener, before any signal is heeded."""
        arbiter.handle_hup = partial(reload, arbiter)
        arbiter.spawn_worker = partial(_spawn_worker, arbiter.spawn_worker)
        if self._has_own_listeners:
            arbiter.handle_ttin = arbiter.handle_ttou = partial(refuse_to_count, arbiter)
            listeners.open_first_listener(arbiter)

    def when_ready(self, arbiter: Any) -> None:
        """Opens the other listeners, and logs the settings in effect."""
        self._make_ready(arbiter, "starting")

    def on_reload(self, arbiter: Any) -> None:
        """Opens the listeners that new settings need, and logs these settings."""
        self._make_ready(arbiter, "reloading")

    def _make_ready(self, arbiter: Any, message: str) -> None:
        if arbiter.cfg.is_ssl:
            arbiter.worker_class = ThreadWorker  # gunicorn's own, under which the view takes in deliveries singly
        if self._has_own_listeners:
            listeners.open_listeners(arbiter)
        arbiter.log.info(message, extra={"fields": {"settings": self.settings.masked()}})

    def pre_fork(self, arbiter: Any, worker: Any) -> None:
        """Gives the worker its listeners and the arbiter's queue of signals, and hides shared objects from the gc.

        The gc would look through these again and again: https://docs.python.org/3/library/gc.html#gc.freeze
        """
        if self._has_own_listeners:
            listeners.assign_listeners(arbiter, worker)
        worker.signals = arbiter.SIG_QUEUE
        gc.collect()
        gc.freeze()

    def post_fork(self, arbiter: Any, worker: Any) -> None:
        """Lets the signals through that came since the fork, and leaves the worker only its own listeners."""
        pthread_sigmask(SIG_UNBLOCK, STOPS)
        if self._has_own_listeners:
            listeners.close_those_of_others(arbiter, worker)

    def post_worker_init(self, worker: Any) -> None:
        """Has the first worker log the database's warnings. The arbiter can't: a fork must not inherit connections."""
        if self.settings.require_sync_replica and worker.age == 1:
            Thread(target=_warn, args=(worker,), daemon=True).start()


def _spawn_worker(spawn: Callable[[], int]) -> int:
    """Makes a worker that hears of a stop, however soon it comes.

    In a child, Python forgets the signals that came before its first instruction, so they are held back until then.
    """
    before = pthread_sigmask(SIG_BLOCK, STOPS)
    try:
        return spawn()
    finally:
        pthread_sigmask(SIG_SETMASK, before)


def _warn(worker: Any) -> None:
    try:
        for warning in worker.wsgi.extensions[INTAKE].warnings():
            worker.log.warning(warning)
    except StorageUnavailable as unavailable:
        worker.log.warning("whether a replica is synchronous is not known: %s", unavailable.detail)


def _raise_file_limit(threads: int) -> int:
    """Raises the limit on open files as far as allowed, and returns how many connections a worker can then have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + RESERVED_FILES + 4 * threads
    if soft != resource.RLIM_INFINITY:
        soft = max(soft, wanted if hard == resource.RLIM_INFINITY else min(wanted, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        wanted = min(wanted, soft)
    return max(wanted - RESERVED_FILES - 4 * threads, threads + 1)
