"""A process that has imported what programs need, and forks one for each request; ``forked`` makes the requests.

Nothing here reads the environment, makes an application or starts a thread, so a program that begins by a fork is as
one that begins by an interpreter. What looks around when it is imported is left to the programs: ``LOOK_AROUND``.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from gunicorn.app.wsgiapp import run  # type: ignore[import-untyped]  # gunicorn has no types

from webhook_service.cli import main

PROGRAMS: dict[str, Callable[[], Any]] = {"gunicorn": run, "webhook-service": main}
IMPORTED = (
    "flask",
    "gunicorn.workers.gthread",
    "webhook_service.contract.document",
    "webhook_service.dashboard.wiring",
    "webhook_service.intake.take_in",
    "webhook_service.outlet.consumers",
    "webhook_service.outlet.forwarder",
    "webhook_service.settings",
    "webhook_service.storage.migrate",
)
LOOK_AROUND = {"prometheus_client", "webhook_service.web.stdout"}  # at the environment, and at standard output
REQUEST_BYTES = 1 << 16


def serve(requests: socket.socket) -> bool:
    """Serves until nobody can ask any more. Then it ends what still runs, and returns False.

    In each process that is forked, it returns True.
    """
    running: dict[int, tuple[int, int]] = {}
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready in running:
                poll.unregister(ready)
                _report_end(ready, *running.pop(ready))
                continue
            message, files, _, _ = socket.recv_fds(requests, REQUEST_BYTES, 4)
            if not message:
                for pid, _ in running.values():
                    os.kill(pid, signal.SIGTERM)
                return False
            pid = os.fork()
            if not pid:
                requests.detach()
                _begin(json.loads(message), *files[:3])
                return True
            *streams, report = files
            for stream in streams:
                os.close(stream)
            os.write(report, str(pid).encode())
            process = os.pidfd_open(pid)
            running[process] = pid, report
            poll.register(process, select.POLLIN)


def _report_end(process: int, pid: int, report: int) -> None:
    _, status = os.waitpid(pid, 0)
    with suppress(BrokenPipeError):  # nobody waits for it
        os.write(report, str(os.waitstatus_to_exitcode(status)).encode())
    os.close(report)
    os.close(process)


def _begin(program: dict[str, Any], *streams: int) -> None:
    """Makes this process one that has just begun, with the three standard streams as its only files."""
    for standard, given in enumerate(streams):
        os.dup2(given, standard)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(program["env"])
    os.chdir(program["cwd"])
    sys.argv[:] = program["command"]
    sys.path[0] = str(Path(sys.argv[0]).parent)


if __name__ == "__main__":
    for name in IMPORTED:
        import_module(name)
    assert not LOOK_AROUND & sys.modules.keys()
    gc.collect()
    gc.freeze()
    with suppress(KeyboardInterrupt):
        if serve(socket.socket(fileno=int(sys.argv[1]))):
            sys.exit(PROGRAMS[Path(sys.argv[0]).name]())
