"""The servers of the tests are forked, and each is like one that has an interpreter of its own."""

import re
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.support.forked import CAN_FORK
from tests.support.processes import children, is_running
from tests.support.server import FreshServer, Server
from tests.support.waiting import wait_until

SIGNALS = ("SigBlk", "SigIgn", "SigCgt")

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="servers are forked on Linux alone")


def status_of(pid: int, *names: str) -> dict[str, str]:
    """Reads what the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value for name, _, value in (line.partition(":") for line in lines) if name in names}


def state_of(pid: int) -> dict[str, object]:
    """Reads what a process has had since its start: signals, limits, folder, threads and open files."""
    process = Path(f"/proc/{pid}")
    files = [str(file.readlink()) for file in (process / "fd").iterdir()]
    return {
        **status_of(pid, *SIGNALS, "Groups", "Umask", "Threads"),
        "limits": (process / "limits").read_text(),
        "folder": (process / "cwd").readlink(),
        "files": Counter(re.sub(r"[0-9]+|wgunicorn.*", "", Path(file).name) for file in files),
    }


def test_a_forked_server_has_the_state_of_a_fresh_one(sqlite_url: str) -> None:
    with Server(sqlite_url) as forked, FreshServer(sqlite_url) as fresh:
        states = [state_of(server.process.pid) for server in (forked, fresh)]
        workers = [status_of(server.worker_pids()[0], *SIGNALS) for server in (forked, fresh)]
        settings = [line["settings"] for server in (forked, fresh) for line in server.log_lines() if "settings" in line]

    assert states[0] == states[1]
    assert workers[0] == workers[1]
    assert settings[0] == {**settings[1], "bind": settings[0]["bind"]}


def test_its_exit_status_is_told_and_none_of_its_processes_is_left(sqlite_url: str) -> None:
    stopped, killed, refused = Server(sqlite_url), Server(sqlite_url), Server(sqlite_url, WEB_CONCURRENCY="none")
    with stopped, killed:
        pids = [pid for server in (stopped, killed) for pid in (server.process.pid, *server.worker_pids())]
        stopped.terminate()
        killed.kill()
        assert (stopped.wait(), killed.wait()) == (0, -signal.SIGKILL)
    refused.start()

    assert refused.wait() == 1
    assert "WEB_CONCURRENCY" in refused.output()
    wait_until(lambda: not any(is_running(pid) for pid in (*pids, refused.process.pid)), "the processes to be gone")
    assert not any(children(pid) for pid in pids)
