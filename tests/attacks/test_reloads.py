"""SIGHUP: new settings are served with, and no request is lost on the way."""

import os
import signal
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest

from tests.support.deliveries import SECRET, payload, signed, to_bytes
from tests.support.load import Arrivals, Load
from tests.support.server import FreshServer
from tests.support.waiting import wait_until

SECONDS = float(os.environ.get("ATTACK_SECONDS", "1"))
RELOADS = 4  # at the least
RATE = 100  # new clients a second, beside the senders that keep their connections
SOON = 5.0  # seconds
COMMANDS = {"gunicorn": ("gunicorn", "wsgi:app"), "serve": ("webhook-service", "serve")}


def reload(server: FreshServer) -> None:
    """Reloads, and returns when only new workers are left."""
    before = set(server.worker_pids())
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: not before & set(server.worker_pids()), "the old workers to be gone")


def status_by(secret: str, server: FreshServer) -> int:
    """The answer to a delivery that is signed with a secret."""
    raw = to_bytes(payload())
    return server.post("/webhook", raw, signed(raw, secret)).status


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_reloads_under_load_take_a_new_secret_and_lose_no_request(
    command: tuple[str, ...], sqlite_url: str, tmp_path: Path
) -> None:
    current, previous = tmp_path / "current", tmp_path / "previous"
    current.write_text("a-secret-to-be-replaced")
    previous.write_text(SECRET)
    files = {"WEBHOOK_SECRET_FILE": str(current), "WEBHOOK_SECRET_PREVIOUS_FILE": str(previous)}
    begun, reloads = monotonic(), 0

    with FreshServer(sqlite_url, command, WEBHOOK_SECRET="", **files) as server, ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(server.connect())  # and says nothing
        with Load(server) as load, Arrivals(server, RATE) as arrivals:
            while reloads < RELOADS or monotonic() < begun + SECONDS:
                reloads += 1
                current.write_text(f"secret-{reloads}")
                reload(server)
                assert status_by(f"secret-{reloads}", server) == 200
                assert status_by(f"secret-{reloads - 1}", server) == 401
        assert not [line for line in server.log_lines() if line["level"] not in {"INFO", "WARNING"}]

    assert load.statuses() == {200}
    assert arrivals.statuses() == {200}


def test_a_reload_with_settings_that_are_wrong_is_refused_and_changes_nothing(sqlite_url: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)

    with FreshServer(sqlite_url, WEBHOOK_SECRET="", WEBHOOK_SECRET_FILE=str(secret)) as server, Load(server) as load:
        workers = server.worker_pids()
        secret.write_text("")
        server.process.send_signal(signal.SIGHUP)

        def refusals() -> list[object]:
            return [line["problems"] for line in server.log_lines() if "are refused" in line["message"]]

        wait_until(lambda: bool(refusals()), "the refusal")
        load.wait_for_every_sender(200)
        assert server.worker_pids() == workers
        secret.write_text(SECRET)
        reload(server)
        load.wait_for_every_sender(200)
        assert refusals() == [["WEBHOOK_SECRET_FILE: the file is empty"]]

    assert load.statuses() == {200}


def test_another_address_is_refused_by_a_reload(sqlite_url: str, tmp_path: Path) -> None:
    with _server_with_file(sqlite_url, tmp_path / "env", "BIND", "WEB_CONCURRENCY") as server:
        workers = server.worker_pids()
        (tmp_path / "env").write_text("BIND=127.0.0.1:1\n")

        server.process.send_signal(signal.SIGHUP)

        wait_until(lambda: "BIND: another address needs a restart" in server.output(), "the refusal")
        assert server.deliver(payload()).status == 200
        assert server.worker_pids() == workers


def test_a_reload_starts_as_many_workers_as_are_set_now_and_every_client_is_answered(
    sqlite_url: str, tmp_path: Path
) -> None:
    one_worker = _server_with_file(sqlite_url, tmp_path / "env", "WEB_CONCURRENCY")

    with one_worker as server, Arrivals(server, RATE) as arrivals:
        for number in (4, 1, 3):
            (tmp_path / "env").write_text(f"WEB_CONCURRENCY={number}\n")
            reload(server)
            assert len(server.worker_pids()) == number

    assert arrivals.statuses() == {200}


def test_a_worker_that_is_killed_resets_no_client_that_it_had_not_accepted(sqlite_url: str) -> None:
    with FreshServer(sqlite_url, WEB_CONCURRENCY="1") as server, ExitStack() as stack:
        (worker,) = server.worker_pids()
        os.kill(worker, signal.SIGSTOP)
        waiting = [stack.enter_context(server.connect()) for _ in range(5)]
        for connection in waiting:
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        os.kill(worker, signal.SIGKILL)

        assert all(connection.recv(12) == b"HTTP/1.1 200" for connection in waiting)


def test_a_stop_amid_a_reload_ends_soon(sqlite_url: str) -> None:
    with FreshServer(sqlite_url) as server, server.connect(), Load(server) as load:
        load.wait_for(8, 200)
        server.process.send_signal(signal.SIGHUP)
        asked = monotonic()
        server.terminate()

        assert server.wait() == 0
        assert monotonic() - asked < SOON
        assert "SIGKILL" not in server.output()


def test_a_terminal_that_closes_ends_no_worker(sqlite_url: str) -> None:
    with FreshServer(sqlite_url) as server, Load(server) as load:
        before = set(server.worker_pids())
        for pid in (*before, server.process.pid):
            os.kill(pid, signal.SIGHUP)
        wait_until(lambda: not before & set(server.worker_pids()), "the new workers to be alone")
        load.wait_for_every_sender(200)

    assert load.statuses() == {200}


def test_the_number_of_workers_is_changed_by_a_reload_alone(sqlite_url: str) -> None:
    with FreshServer(sqlite_url) as server:
        workers = server.worker_pids()

        server.process.send_signal(signal.SIGTTOU)

        wait_until(lambda: "send SIGHUP" in server.output(), "the line")
        assert server.worker_pids() == workers


def _server_with_file(database_url: str, file: Path, *names: str) -> FreshServer:
    """A server that reads settings of these names from a file, which has one worker now."""
    server = FreshServer(database_url, ENV_FILE=str(file))
    file.write_text(f"BIND={server.environ['BIND']}\nWEB_CONCURRENCY=1\n")
    for name in names:
        del server.environ[name]
    return server
