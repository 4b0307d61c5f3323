"""The service's programs as processes that are forked, which spares each the second that its imports take."""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from tests.support.processes import BIN, ROOT

CAN_FORK = sys.platform == "linux"  # elsewhere there are no descriptors of processes


class Forked:
    """A process of ``gunicorn`` or ``webhook-service``, with what the tests use of ``subprocess.Popen``."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], *streams: IO[bytes]) -> None:
        program, *arguments = command
        self.args = [str(BIN / program), *arguments]
        self.returncode: int | None = None
        self._report, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = json.dumps({"command": self.args, "cwd": str(ROOT), "env": dict(env)})
        with theirs:
            files = [*(stream.fileno() for stream in streams), theirs.fileno()]
            socket.send_fds(_fork_server(), [request.encode()], files)
        self.pid = int(self._report.recv(16))

    def poll(self) -> int | None:
        """Returns the exit status; None while the process runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end, and returns the exit status."""
        if self.returncode is None:
            self._report.settimeout(timeout)
            try:
                self.returncode = int(self._report.recv(16))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
            self._report.close()
        return self.returncode

    def send_signal(self, sent: signal.Signals) -> None:
        """Sends a signal, unless the process has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sent)

    def terminate(self) -> None:
        """Asks the process to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kills the process."""
        self.send_signal(signal.SIGKILL)


Process = subprocess.Popen[bytes] | Forked


def spawn(
    command: Sequence[str], env: Mapping[str, str], stdout: IO[bytes], stderr: IO[bytes], stdin: IO[bytes] | None = None
) -> Process:
    """Starts one of the programs in the repository's root, by a fork where there can be one."""
    with Path(os.devnull).open("rb") as nothing:
        streams = (stdin or nothing, stdout, stderr)
        if CAN_FORK:
            return Forked(command, env, *streams)
        return subprocess.Popen([BIN / command[0], *command[1:]], 0, None, *streams, cwd=ROOT, env=env)


def run_cli(*arguments: str, environ: Mapping[str, str], given: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Runs ``webhook-service`` to its end, with what it reads from its standard input."""
    with TemporaryFile() as stdin, TemporaryFile() as stdout, TemporaryFile() as stderr:
        stdin.write(given)
        stdin.seek(0)
        process = spawn(("webhook-service", *arguments), environ, stdout, stderr, stdin)
        try:
            status = process.wait(60)
        finally:
            process.kill()
        said, told = (_read(written) for written in (stdout, stderr))
    return subprocess.CompletedProcess(process.args, status, said, told)


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


@cache
def _fork_server() -> socket.socket:
    """Starts the process that forks, in the environment that all programs of the tests share."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fork_server", str(theirs.fileno())],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    atexit.register(_stop, process, ours)
    return ours


def _stop(process: subprocess.Popen[bytes], requests: socket.socket) -> None:
    requests.shutdown(socket.SHUT_RDWR)
    requests.close()
    process.wait()
