"""gunicorn, from the same settings as the application: https://gunicorn.org/reference/settings/"""

import gc
import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from gunicorn.sock import close_sockets, create_sockets  # type: ignore[import-untyped]  # has no types

from webhook_service.settings import Settings, SettingsInvalid
from webhook_service.web.logs import logging_config

try:
    settings = Settings.from_env()
except SettingsInvalid as invalid:
    sys.exit(str(invalid))

_shared_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # memory, not a disk

bind = settings.bind
# A socket for each worker, among which the kernel spreads connections. Of one for all, whichever worker wakes first
# takes what it can: now and then nearly all of them, and half of the machine stands idle.
reuse_port = sys.platform == "linux" and not bind.startswith(("unix:", "fd:")) and "LISTEN_FDS" not in os.environ
workers = settings.workers
worker_class = "webhook_service.serving.worker.InboxWorker"
threads = settings.threads
preload_app = True
keepalive = 75  # seconds: longer than nginx keeps an idle upstream connection (60), so that nginx closes first
timeout = 30
graceful_timeout = 30
max_requests = 0
forwarded_allow_ips = ""  # whom to believe is the application's to say: TRUSTED_PROXIES
worker_tmp_dir = _shared_memory
control_socket_disable = True  # its default path is one for all servers of a user
logconfig_dict = logging_config(settings.log_level)


def _metrics_directory() -> Path:
    given = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if given:
        return Path(given)
    server = hashlib.sha256(bind.encode()).hexdigest()[:12]
    return Path(_shared_memory or "/tmp") / f"webhook_service-{os.getuid()}-{server}"  # noqa: S108


metrics_directory = _metrics_directory()
metrics_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
if metrics_directory.stat().st_uid != os.getuid():
    sys.exit(f"the metrics directory {metrics_directory} belongs to another user")
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics_directory)
_owner = metrics_directory / "server.pid"


def on_starting(server: Any) -> None:
    """Stops the start, with gunicorn's own message, when another server has the address.

    The workers' sockets would share it with any other program of the same user, and nobody would notice.
    """
    if reuse_port and not server.master_pid:
        server.cfg.set("reuse_port", False)
        close_sockets(create_sockets(server.cfg, server.log))
        server.cfg.set("reuse_port", True)


def when_ready(server: Any) -> None:
    """Clears what an earlier server left in the metrics directory, and logs the settings in effect.

    Only now does the address belong to this server, and with it the directory.
    """
    for leftover in metrics_directory.glob("*.db"):
        leftover.unlink()
    _owner.write_text(str(os.getpid()))
    server.log.info("starting", extra={"fields": {"settings": settings.masked()}})


def pre_fork(_server: Any, _worker: Any) -> None:
    """Takes what every worker shares out of the garbage collector's sight, which else would look through it forever.

    https://docs.python.org/3/library/gc.html#gc.freeze
    """
    gc.collect()
    gc.freeze()


def child_exit(_server: Any, worker: Any) -> None:
    """Drops the gauges of a worker that is gone."""
    # Imported only now, since it looks for the metrics directory when it is imported.
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(_server: Any) -> None:
    """Removes the metrics directory with the server whose it is, which a second one on the same address is not."""
    if _owner.exists() and _owner.read_text() == str(os.getpid()):
        shutil.rmtree(metrics_directory)
