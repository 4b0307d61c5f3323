"""``webhook-service serve``: the server, from a checkout."""

import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.forked import run_cli
from tests.support.processes import BIN, environment
from tests.support.server import Server
from tests.support.waiting import wait_until


class Served(Server):
    """The service as ``webhook-service serve --migrate`` starts it, from a folder that has nothing to do with it."""

    def start(self) -> None:
        """Starts the process without waiting for it to serve."""
        with self._stdout.open("ab") as stdout, self._stderr.open("ab") as stderr:
            self._process = subprocess.Popen(
                [BIN / "webhook-service", "serve", "--migrate"],
                cwd=self._directory,
                env=self.environ,
                stdout=stdout,
                stderr=stderr,
            )


def test_serve_makes_the_database_and_is_the_server_itself(tmp_path: Path) -> None:
    database = tmp_path / "data" / "app.db"

    with Served("", DATA_DIR=str(database.parent)) as server:
        process = server.process.pid
        wait_until(lambda: server.get("/health/ready").status == 200, "the service to be ready")
        workers = server.worker_pids()
        server.terminate()
        exit_status = server.wait()

    assert (len(workers), exit_status) == (2, 0)
    assert process not in workers
    assert database.exists()


def test_serve_says_at_once_that_the_address_is_taken(sqlite_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run_cli("serve", environ=environment(sqlite_url, BIND=address))

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"Error: BIND: {address}: another program has this address\n"


@pytest.mark.parametrize("bind", ["8000", "localhost", "127.0.0.1:0", "127.0.0.1:65536", "http://127.0.0.1:80", "fd:3"])
def test_serve_refuses_what_is_no_address(bind: str, sqlite_url: str) -> None:
    ended = run_cli("serve", environ=environment(sqlite_url, BIND=bind))

    assert ended.returncode == 1
    assert "BIND: not HOST:PORT" in ended.stderr


def test_an_empty_number_of_workers_is_not_set(sqlite_url: str) -> None:
    bind = environment(sqlite_url, WEB_CONCURRENCY="", GUNICORN_CMD_ARGS="--check-config", BIND="127.0.0.1:65000")

    ended = run_cli("serve", environ=bind)

    assert (ended.returncode, ended.stderr) == (0, "")
