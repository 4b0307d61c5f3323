"""Servers to load, signed deliveries to load them with, and wrk to do it."""

import json
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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from webhook_service.providers.native import sign

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
SECRET = "benchmark-secret"
SENDERS = 2000

_RESULT = re.compile(r"RESULT (\d+) (\d+) (\S+) (\S+) (\d+)")


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of wrk; latencies in milliseconds."""

    rate: float
    p50: float
    p99: float
    requests: int
    errors: int


@dataclass(frozen=True, slots=True)
class Server:
    """A gunicorn under load."""

    url: str
    pid: int

    def worker_pids(self) -> list[int]:
        """The processes that serve."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def worker_megabytes(self) -> float:
        """The resident memory of the largest worker."""
        return max(self.megabytes_by_worker().values())

    def megabytes_by_worker(self) -> dict[int, float]:
        """The resident memory of each worker."""
        return {pid: _resident_megabytes(pid) for pid in self.worker_pids()}


def write_deliveries(path: Path, count: int, *, first: int = 0) -> None:
    """A file of ``count`` distinct signed deliveries, a line each: the signature, a space, the body."""
    with path.open("w") as file:
        for number in range(first, first + count):
            body = json.dumps(
                {
                    "message_id": f"bench-{number:010d}",
                    "from": f"+49151{number * 7919 % SENDERS:07d}",
                    "to": "+4930123456",
                    "ts": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_767_225_600 + number // 50)),
                    "text": f"Hello, is order {number} on its way? Thanks!",
                }
            )
            file.write(f"{sign(SECRET, body.encode())} {body}\n")


def migrate(database_url: str) -> None:
    """Makes the tables."""
    subprocess.run([BIN / "webhook-service", "migrate"], env=_environment(database_url, "127.0.0.1:0"), check=True)


@contextmanager
def server(
    app: str, database_url: str, *, workers: int = 2, threads: int | None = None, worker_class: str | None = None
) -> Iterator[Server]:
    """gunicorn with the project's settings, but for what is given, serving ``app``; stopped at the end."""
    port = _free_port()
    environment = _environment(database_url, f"127.0.0.1:{port}") | {"WEB_CONCURRENCY": str(workers)}
    if threads:
        environment["GUNICORN_THREADS"] = str(threads)
    if worker_class:
        environment["GUNICORN_CMD_ARGS"] = f"--worker-class {worker_class}"
    with tempfile.TemporaryFile() as log:
        command = [str(BIN / "gunicorn"), "--pythonpath", f"{ROOT},{ROOT / 'benchmarks' / 'apps'}", app]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_until_it_answers(f"http://127.0.0.1:{port}/health/live", process)
            started = Server(f"http://127.0.0.1:{port}", process.pid)
            while len(started.worker_pids()) < workers:
                time.sleep(0.05)
            yield started
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def wrk(url: str, deliveries: Path, *, connections: int, seconds: float) -> Measured:
    """Sends deliveries as fast as they are answered, for whole seconds: wrk knows no parts of them."""
    options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(ROOT / "benchmarks" / "wrk.lua")]
    command = ["wrk", *options, url, "--", str(deliveries)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    found = _RESULT.search(finished.stdout)
    if found is None:
        raise RuntimeError(f"wrk said nothing of its result: {finished.stdout}")
    requests, microseconds, p50, p99, errors = (float(value) for value in found.groups())
    return Measured(requests / microseconds * 1e6, p50 / 1000, p99 / 1000, int(requests), int(errors))


def _environment(database_url: str, bind: str) -> dict[str, str]:
    settings = {
        "DATABASE_URL": database_url,
        "BIND": bind,
        "WEBHOOK_SECRET": SECRET,
        "API_TOKEN": "",
        "LOG_LEVEL": "INFO",
    }
    return {**os.environ, **settings}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError("gunicorn did not start")
        try:
            urllib.request.urlopen(url, timeout=1)
        except urllib.error.HTTPError:
            return  # any answer will do: the baseline knows no health check
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("gunicorn does not answer")


def _resident_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0
