"""Servers to load, each in a process group of its own, so that the processor time of all its processes can be read."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
APPS = ROOT / "benchmarks" / "apps"
BIN = Path(sys.executable).parent
SECRET = "benchmark-secret"
WORKERS, THREADS = 2, 8

_TICKS = os.sysconf("SC_CLK_TCK")  # a second's: the unit of time in /proc


@dataclass(frozen=True, slots=True)
class Server:
    """A server under load; ``pid`` is its first process, and the process group of all that it started."""

    url: str
    pid: int

    def processor_seconds(self) -> float:
        """Returns the user and system time of the whole group since it started, including processes that have ended.

        It is read from the fields utime, stime, cutime and cstime of /proc/PID/stat (proc_pid_stat(5)): a process that
        has ended counts in the c-fields of its parent.
        """
        return sum(_group_ticks(self.pid)) / _TICKS

    def worker_pids(self) -> list[int]:
        """Returns the processes that gunicorn's first process started."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def worker_megabytes(self) -> float:
        """Returns the resident memory of the largest worker."""
        return max(self.megabytes_by_worker().values())

    def megabytes_by_worker(self) -> dict[int, float]:
        """Returns the resident memory of each worker."""
        return {pid: _resident_megabytes(pid) for pid in self.worker_pids()}


def _group_ticks(group: int) -> Iterator[int]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name of the program, the second field, is in parentheses and may hold any character.
            _, _, fields = stat.read_text().rpartition(") ")
        except (FileNotFoundError, ProcessLookupError):
            continue  # the process ended meanwhile
        _state, _parent, process_group, *rest = fields.split()
        if int(process_group) == group:
            yield sum(int(ticks) for ticks in rest[8:12])


def _resident_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def migrate(database_url: str) -> None:
    """Makes the tables."""
    subprocess.run([BIN / "webhook-service", "migrate"], env=settings_of(database_url), check=True)


@contextmanager
def server(
    app: str,
    database_url: str,
    *,
    workers: int = WORKERS,
    threads: int = THREADS,
    worker_class: str | None = None,
    token: str = "",
    more: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Runs gunicorn with the project's settings, serving ``app``: the service, or one of ``benchmarks/apps``.

    ``more`` are further settings of the service.
    """
    port = free_port()
    settings = {
        "BIND": f"127.0.0.1:{port}",
        "WEB_CONCURRENCY": str(workers),
        "GUNICORN_THREADS": str(threads),
        "API_TOKEN": token,
    }
    options = ["--worker-class", worker_class] if worker_class else []
    command = [str(BIN / "gunicorn"), *options, "--pythonpath", f"{ROOT},{APPS}", app]
    with running(command, port, settings_of(database_url) | settings | dict(more or {})) as started:
        while len(started.worker_pids()) < workers:
            time.sleep(0.05)
        yield started


@contextmanager
def stock_gunicorn(app: str) -> Iterator[Server]:
    """Runs gunicorn's own threaded worker with gunicorn's defaults, serving one of ``benchmarks/apps``."""
    port = free_port()
    size = ["--workers", str(WORKERS), "--worker-class", "gthread", "--threads", str(THREADS)]
    # By default, all servers of a user would share the path of one control socket.
    command = [str(BIN / "gunicorn"), *size, "--no-control-socket", "--bind", f"127.0.0.1:{port}", app]
    with running(command, port, os.environ, folder=APPS) as started:
        yield started


@contextmanager
def running(command: Sequence[str], port: int, environment: Mapping[str, str], folder: Path = ROOT) -> Iterator[Server]:
    """Runs a server on a port of this machine; the block begins with its first answer, and its end stops the server."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        started = Server(f"http://127.0.0.1:{port}", process.pid)
        try:
            if not _answers(started.url, process):
                log.seek(0)
                raise RuntimeError(f"{Path(command[0]).name} does not answer:\n{log.read().decode(errors='replace')}")
            yield started
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def free_port() -> int:
    """Returns a port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def settings_of(database_url: str) -> dict[str, str]:
    """Returns the environment of a server and of commands on its database."""
    given = {"DATABASE_URL": database_url, "WEBHOOK_SECRET": SECRET, "API_TOKEN": "", "LOG_LEVEL": "INFO"}
    return {**os.environ, **given}


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1)
        except urllib.error.HTTPError:
            return True  # any answer will do
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False
