"""Signals: every stop ends soon and in order."""

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from time import monotonic

import pytest

from tests.support.deliveries import payload
from tests.support.load import Load
from tests.support.processes import is_running
from tests.support.server import FreshServer
from tests.support.waiting import wait_until

SECONDS = float(os.environ.get("ATTACK_SECONDS", "1"))
SILENT = 20
SOON = 5.0  # seconds; without the defences such stops took 30


def interrupt_all(server: FreshServer) -> None:
    """Does what a terminal does on Ctrl-C."""
    for pid in (server.process.pid, *server.worker_pids()):
        os.kill(pid, signal.SIGINT)


def interrupt_again_and_again(server: FreshServer) -> None:
    """Does the same for someone who has no patience."""
    for _ in range(3):
        interrupt_all(server)


STOPS: dict[str, Callable[[FreshServer], None]] = {
    "SIGTERM": FreshServer.terminate,
    "Ctrl-C": interrupt_all,
    "Ctrl-C three times": interrupt_again_and_again,
}


def time_of(stop: Callable[[FreshServer], None], server: FreshServer) -> tuple[int, float]:
    """Stops a server, and returns its exit status and the seconds that it took."""
    asked = monotonic()
    stop(server)
    return server.wait(), monotonic() - asked


@pytest.mark.parametrize("is_idle", [False, True], ids=["under load", "idle"])
@pytest.mark.parametrize("stop", STOPS.values(), ids=STOPS)
def test_a_stop_with_silent_clients_ends_soon(
    stop: Callable[[FreshServer], None], is_idle: bool, sqlite_url: str
) -> None:
    begun = monotonic()
    while True:
        with FreshServer(sqlite_url) as server, ExitStack() as stack:
            for _ in range(SILENT):
                stack.enter_context(server.connect()).sendall(b"G")
            if is_idle:
                status, took = time_of(stop, server)
            else:
                with Load(server) as load:
                    load.wait_for(8, 200)
                    status, took = time_of(stop, server)
            output = server.output()

        assert (status, took < SOON) == (0, True), output
        assert "SIGKILL" not in output
        assert "raceback" not in output
        if monotonic() > begun + SECONDS:
            return


def test_workers_whose_arbiter_was_killed_end_and_free_the_address(sqlite_url: str) -> None:
    with FreshServer(sqlite_url) as server, server.connect():
        workers = server.worker_pids()

        server.process.kill()

        wait_until(lambda: not any(is_running(pid) for pid in workers), "the workers to be gone", patience=15)
        server.process.wait()
        server.start()
        server.wait_until_it_answers()
        assert server.deliver(payload()).status == 200
