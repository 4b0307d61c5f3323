"""Requests that take too long to arrive, or to be served, and what their clients are told."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.deliveries import payload
from tests.support.messages import message
from tests.support.metrics import value
from tests.support.server import Server
from tests.support.stored import accept, opened
from webhook_service.domain.deliveries import Contents
from webhook_service.domain.limits import TEXT_MAX
from webhook_service.serving.framing import MAX_WHOLE

CANARY = "canary4915112345678"
HEAD = f"POST /webhook?{CANARY} HTTP/1.1\r\nHost: localhost\r\n"
LATE = {
    "a byte": "G",
    "half a line": f"GET /messages?q={CANARY}",
    "half a head": f"{HEAD}Authorization: Bearer {CANARY}\r\n",
    "a head without its body": f"{HEAD}Content-Length: 70\r\n\r\n",
    "half a body": f"{HEAD}Content-Length: 70\r\n\r\n{CANARY}",
}


@pytest.fixture
def hurried_server(sqlite_url: str) -> Iterator[Server]:
    """A worker of two threads that waits for nobody for long."""
    command = ("gunicorn", "tests.serving.hurried:app")
    with Server(sqlite_url, command, WEB_CONCURRENCY="1", GUNICORN_THREADS="2") as server:
        yield server


def all_of(connection: socket.socket) -> tuple[bytes, bytes]:
    """The head and the body of what comes until the server closes."""
    received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body


def test_a_request_that_is_not_whole_in_time_is_408_and_nothing_of_it_is_shown(hurried_server: Server) -> None:
    for sent in LATE.values():
        with hurried_server.connect() as connection:
            connection.sendall(sent.encode())
            head, body = all_of(connection)

        assert head.startswith(b"HTTP/1.1 408 ")
        assert b"\r\nX-Request-ID: " in head
        assert json.loads(body) == {"detail": "request timeout"}
        assert CANARY.encode() not in head
    late = {"method": "other", "path": "unmatched", "status": "408"}
    assert value(hurried_server, "http_requests_total", **late) == len(LATE)
    assert [line["failure"] for line in hurried_server.request_lines() if line["status"] == 408] == [
        "REQUEST_TIMEOUT"
    ] * len(LATE)
    assert CANARY not in hurried_server.output()


def test_a_client_that_says_nothing_is_told_nothing(hurried_server: Server) -> None:
    with hurried_server.connect() as silent, hurried_server.connect() as late:
        late.sendall(b"G")
        all_of(late)
        silent.settimeout(0.1)

        with pytest.raises(TimeoutError):
            silent.recv(1)


def test_a_long_request_that_no_thread_gets_to_is_told_to_come_back(hurried_server: Server) -> None:
    slow = f"{HEAD}Content-Length: {2 * MAX_WHOLE}\r\n\r\n{{".encode()

    with hurried_server.connect() as first, hurried_server.connect() as second:
        first.sendall(slow)
        assert hurried_server.deliver(payload()).status == 200  # so that the first one has its thread
        second.sendall(slow)
        head, body = all_of(second)

    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 5\r\n" in head
    assert json.loads(body) == {"detail": "service unavailable"}


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(HEAD + "Transfer-Encoding: chunked\r\n\r\n1\r\n{", id="who send slowly"),
        pytest.param("GET /export HTTP/1.1\r\nHost: localhost\r\n\r\n", id="who take an export slowly"),
    ],
)
def test_clients_leave_a_thread_of_the_fewest_to_readers(sent: str, sqlite_url: str) -> None:
    with opened(sqlite_url) as database:  # more than the kernel keeps for clients that take nothing
        accept(database, Contents(tuple(message(text="x" * TEXT_MAX) for _ in range(3000))))

    with Server(sqlite_url, WEB_CONCURRENCY="1", GUNICORN_THREADS="1") as server, ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(server.connect()).sendall(sent.encode())

        assert [server.get("/stats").status for _ in range(3)] == [200] * 3
