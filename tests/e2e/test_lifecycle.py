"""Starting, not starting, and stopping without losing a delivery."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import urllib3

from tests.support.deliveries import payload
from tests.support.processes import BIN, ROOT, environment
from tests.support.server import FreshServer
from tests.support.waiting import wait_until
from webhook_service.domain.messages import MessageFilter, MessageQuery
from webhook_service.storage.database import Database
from webhook_service.storage.queries.pages import list_messages

SENDERS = 12


def sockets(pid: int) -> int:
    """How many a process has open."""
    return sum(str(file.readlink()).startswith("socket:") for file in Path(f"/proc/{pid}/fd").iterdir())


def stored_ids(database: Database) -> set[str]:
    with database.snapshot() as snapshot:
        stored = list_messages(snapshot, MessageQuery(MessageFilter(), limit=1_000_000))
    return {message.message_id for message in stored}


def test_a_graceful_stop_under_load_drops_no_delivery(database_url: str, database: Database) -> None:
    answers: list[tuple[str, int]] = []
    gone = Event()

    def send_until_gone(server: FreshServer) -> None:
        while not gone.is_set():
            content = payload()
            try:
                status = server.deliver(content).status
            except urllib3.exceptions.HTTPError:
                gone.set()
            else:
                answers.append((content["message_id"], status))

    with FreshServer(database_url) as server, ThreadPoolExecutor(SENDERS) as threads:
        senders = [threads.submit(send_until_gone, server) for _ in range(SENDERS)]
        wait_until(lambda: len(answers) > 100, "some load")
        server.terminate()
        exit_status = server.wait()
        gone.set()
        for sender in senders:
            sender.result()
        lines = [line for line in server.request_lines() if line["path"] == "/webhook"]

    assert exit_status == 0
    assert {status for _, status in answers} == {200}
    assert stored_ids(database) == {message_id for message_id, _ in answers}
    assert len(lines) == len(answers)


def test_connections_are_spread_over_the_workers(sqlite_url: str) -> None:
    with FreshServer(sqlite_url) as server, ExitStack() as stack:
        before = {pid: sockets(pid) for pid in server.worker_pids()}
        connections = [stack.enter_context(server.connect()) for _ in range(60)]
        for connection in connections:
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert all(connection.recv(12) == b"HTTP/1.1 200" for connection in connections)
        accepted = [sockets(pid) - number for pid, number in before.items()]

    assert min(accepted) >= 15


def test_a_second_server_on_the_same_address_does_not_start(sqlite_url: str) -> None:
    with FreshServer(sqlite_url) as server:
        second = subprocess.run(
            [BIN / "gunicorn", "wsgi:app"], cwd=ROOT, env=server.environ, capture_output=True, check=False, timeout=60
        )
        still_there = server.get("/metrics").status

    assert second.returncode == 1
    assert b"Connection in use" in second.stdout
    assert still_there == 200


def test_without_a_secret_it_starts_and_says_what_is_missing(sqlite_url: str) -> None:
    with FreshServer(sqlite_url, WEBHOOK_SECRET="") as server:
        answers = [server.get("/health/live"), server.get("/health/ready"), server.deliver(payload())]

    assert [answer.status for answer in answers] == [200, 503, 503]
    assert [answer.json() for answer in answers[1:]] == [{"detail": "WEBHOOK_SECRET is not set"}] * 2
    assert answers[2].headers["Retry-After"].isdecimal()


def test_invalid_settings_stop_the_start_and_are_told_all_at_once() -> None:
    hidden = "h1dden"
    wrong = {
        "LOG_LEVEL": "LOUD",
        "WEB_CONCURRENCY": "1000",
        "GUNICORN_THREADS": "none",
        "MAX_BODY_BYTES": hidden,
        "WEBHOOK_SECRET": hidden,
        "DATABASE_URL": f"mysql://user:{hidden}@host/db",
    }
    environ = environment("", **wrong, WEBHOOK_SECRET_FILE="/nowhere")

    ended = subprocess.run([BIN / "gunicorn", "wsgi:app"], cwd=ROOT, env=environ, capture_output=True, check=False)

    output = (ended.stdout + ended.stderr).decode()
    assert ended.returncode != 0
    told = [line.strip().partition(":")[0] for line in output.splitlines() if line.startswith("  ")]
    assert sorted(told) == sorted(wrong)
    assert hidden not in output
    assert "Traceback" not in output
