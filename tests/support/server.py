"""A real ``gunicorn wsgi:app`` on a free port, and an HTTP client for it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import urllib3

from tests.support.deliveries import signed, to_bytes
from tests.support.forked import Process, spawn
from tests.support.processes import BIN, ROOT, children, environment, is_running
from tests.support.waiting import wait_until

STOP_PATIENCE = 45.0  # seconds: longer than gunicorn's graceful_timeout


class Server:
    """The service with two workers on a database that is migrated already; as a context, it serves during the block.

    ``command`` is a program of this environment with its arguments; ``settings`` are environment variables that replace
    the defaults of the tests. ``checkout`` may be set to that of another release before the server starts.
    """

    def __init__(self, database_url: str, command: Sequence[str] = ("gunicorn", "wsgi:app"), **settings: str) -> None:
        self.checkout = ROOT
        self._command = command
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environ = environment(
            database_url,
            **{"BIND": f"127.0.0.1:{self.port}", "WEB_CONCURRENCY": "2", "GUNICORN_THREADS": "8", **settings},
        )
        self._directory = Path(tempfile.mkdtemp(prefix="webhook_service-server-"))
        self._stdout, self._stderr = self._directory / "stdout", self._directory / "stderr"
        self._client = urllib3.PoolManager(maxsize=64, retries=False, timeout=60)
        self._process: Process | None = None

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_until_it_answers()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._client.clear()
        if self.process.poll() is None:
            self.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_PATIENCE)
        for pid in (*self.worker_pids(), self.process.pid):
            if self.process.poll() is None:
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self._directory)

    def start(self) -> None:
        """Starts the process without waiting for it to serve."""
        with self._stdout.open("ab") as stdout, self._stderr.open("ab") as stderr:
            self._process = self._spawn(stdout, stderr)

    def wait_until_it_answers(self) -> None:
        """Waits until all workers are there and the server answers."""
        wait_until(self._answers, "the server to answer")

    def kill(self) -> None:
        """Kills the arbiter and its workers, as a power cut would, and returns when they are gone."""
        workers = self.worker_pids()
        for pid in (self.process.pid, *workers):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not any(is_running(pid) for pid in workers), "the workers to be gone")

    @property
    def stdout(self) -> Path:
        """The path of the server's log; before the server starts, a test may put something else than a file there."""
        return self._stdout

    @property
    def process(self) -> Process:
        """The process of gunicorn's arbiter."""
        assert self._process is not None, "not started"
        return self._process

    def terminate(self) -> None:
        """Asks for a graceful stop, and returns at once."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Waits for the process to end, and returns its exit status."""
        return self.process.wait(STOP_PATIENCE)

    def worker_pids(self) -> list[int]:
        """Returns the processes that serve requests now."""
        return children(self.process.pid)

    def output(self) -> str:
        """Returns all that the server has written so far, on both streams."""
        return "".join(stream.read_text() for stream in (self._stdout, self._stderr) if stream.exists())

    def log_lines(self) -> list[dict[str, Any]]:
        """Returns the lines of the log so far; each must be a JSON object."""
        complete = self._stdout.read_text().rpartition("\n")[0]
        # Not by splitlines, as a message ID may hold other separators of lines, such as U+2028.
        return [json.loads(line) for line in complete.split("\n") if line]

    def request_lines(self) -> list[dict[str, Any]]:
        """Returns the lines about requests in the log so far."""
        return [line for line in self.log_lines() if "latency_ms" in line]

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> urllib3.BaseHTTPResponse:
        """Makes a request, and returns the answer whatever its status; the path is sent exactly as it is given."""
        client = self._client.connection_from_url(self.url)
        return client.urlopen(method, path, body=body, headers=headers, redirect=False)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> urllib3.BaseHTTPResponse:
        """Sends a GET."""
        return self.request("GET", path, headers=headers)

    def post(
        self, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> urllib3.BaseHTTPResponse:
        """Sends a POST of these bytes."""
        return self.request("POST", path, body, headers)

    def deliver(self, content: Any) -> urllib3.BaseHTTPResponse:
        """Sends a signed delivery to the native provider: a payload, or the bytes of one."""
        raw = content if isinstance(content, bytes) else to_bytes(content)
        return self.post("/webhook", raw, signed(raw))

    def connect(self) -> socket.socket:
        """Opens a bare connection, for requests that no client library would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def _spawn(self, stdout: BinaryIO, stderr: BinaryIO) -> Process:
        if self._command[0] == "gunicorn" and self.checkout == ROOT:
            return spawn(self._command, self.environ, stdout, stderr)
        return self._spawn_afresh(stdout, stderr)

    def _spawn_afresh(self, stdout: BinaryIO, stderr: BinaryIO) -> Process:
        program, *arguments = self._command
        return subprocess.Popen(
            [BIN / program, *arguments], cwd=self.checkout, env=self.environ, stdout=stdout, stderr=stderr
        )

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"the server ended with {self.process.returncode}\n{self.output()}")
        if len(self.worker_pids()) < int(self.environ.get("WEB_CONCURRENCY", 1)):
            return False
        try:
            return self.get("/health/live").status == 200
        except urllib3.exceptions.HTTPError:
            return False


class FreshServer(Server):
    """A server that is an interpreter of its own, for tests of how one starts, reloads and stops, and of its memory."""

    def _spawn(self, stdout: BinaryIO, stderr: BinaryIO) -> Process:
        return self._spawn_afresh(stdout, stderr)


def free_port() -> int:
    """Returns a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
