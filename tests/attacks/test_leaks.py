"""Requests full of canaries, none of which may be in anything that the server writes or answers."""

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.deliveries import payload, signed, to_bytes
from tests.support.server import Server
from tests.support.waiting import wait_until

CANARY = "canary4915112345678"
_LINE = f"GET /messages?q={CANARY} HTTP/1.1\r\n"
_HEAD = f"{_LINE}Host: localhost\r\n"

# What gunicorn can't read, and the status that its client is told.
UNREADABLE = {
    "a raw umlaut": (f"GET /messages?q={CANARY}\xe4 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "no version": (f"GET /{CANARY}\r\n\r\n", 400),
    "a version that is none": (f"GET /{CANARY} HTTP/9.{CANARY}\r\n\r\n", 400),
    "a method that is none": (f"G@{CANARY} / HTTP/1.1\r\n\r\n", 400),
    "a header without a colon": (f"{_HEAD}{CANARY}\r\n\r\n", 400),
    "a header name that is none": (f"{_HEAD}b@d{CANARY}: 1\r\n\r\n", 400),
    "a folded header": (f"{_HEAD}A: 1\r\n {CANARY}\r\n\r\n", 400),
    "two lengths": (f"{_HEAD}Content-Length: 1\r\nContent-Length: 2\r\nX: {CANARY}\r\n\r\n", 400),
    "an expectation": (f"{_HEAD}Expect: {CANARY}\r\n\r\n", 417),
    "a coding that is not known": (f"{_HEAD}Transfer-Encoding: {CANARY}\r\n\r\n", 501),
    "a long line": (f"GET /{CANARY * 1000} HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    "a long header": (f"{_HEAD}A: {CANARY * 1000}\r\n\r\n", 431),
    "many headers": (_HEAD + "".join(f"{CANARY}{n}: 1\r\n" for n in range(200)) + "\r\n", 431),
}
# What it can read, and what breaks off.
ODD = {
    "half a head": f"{_HEAD}Authorization: Bearer {CANARY}\r\n",
    "half a line": f"GET /messages?q={CANARY}",
    "a method of its own": f"{CANARY.upper()} / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a path": f"GET /messages/{CANARY} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {CANARY}\r\n\r\n",
    "a path that is not known": f"GET /{CANARY} HTTP/1.1\r\nHost: localhost\r\nCookie: {CANARY}\r\n\r\n",
    "a provider that is not known": f"POST /webhook/{CANARY} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    "a request ID that is none": f"{_LINE}Host: localhost\r\nX-Request-ID: {CANARY} {CANARY}\r\n\r\n",
    "a forwarded address": f"{_LINE}Host: localhost\r\nX-Forwarded-For: {CANARY}\r\n\r\n",
    "a host": f"{_LINE}Host: {CANARY}\r\n\r\n",
    "a signature": "POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
    f"X-Signature: {CANARY}\r\n\r\n{{}}",
    "a chunk that is none": "POST /webhook HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    f"{CANARY}\r\n\r\n",
    "an unread chunk that is none": "GET /health/live HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    f"{CANARY}\r\n\r\n",
    "two requests, the second broken": "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n" + f"{CANARY}\r\n\r\n",
}


@pytest.fixture(scope="module")
def talkative_server(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Server]:
    """A server that writes all it ever would, and believes one proxy."""
    url = f"sqlite:///{shutil.copy(sqlite_template, tmp_path_factory.mktemp('leaks') / 'app.db')}"
    with Server(url, WEB_CONCURRENCY="1", LOG_LEVEL="DEBUG", TRUSTED_PROXIES="1") as server:
        yield server


def answer_to(server: Server, sent: str) -> tuple[bytes, bytes]:
    """The head and the body of all that comes back."""
    received = b""
    with server.connect() as connection, suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(sent.encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize(("sent", "status"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_gunicorn_cannot_read_is_refused_as_json(talkative_server: Server, sent: str, status: int) -> None:
    head, body = answer_to(talkative_server, sent)

    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert json.loads(body).keys() == {"detail"}
    assert b"\r\nX-Request-ID: " in head
    assert b"\r\nConnection: close" in head
    assert b"canary" not in (head + body).lower()


def test_what_gunicorn_cannot_read_is_logged_and_counted(talkative_server: Server) -> None:
    def lines() -> list[dict[str, object]]:
        return [line for line in talkative_server.request_lines() if line.get("failure") == "LimitRequestLine"]

    def count() -> float:
        series = 'http_requests_total{method="other",path="unmatched",status="414"} '
        shown = talkative_server.get("/metrics").data.decode()
        return sum(float(line.removeprefix(series)) for line in shown.splitlines() if line.startswith(series))

    counted, logged = count(), len(lines())
    answer_to(talkative_server, UNREADABLE["a long line"][0])

    wait_until(lambda: len(lines()) == logged + 1, "its line")
    assert count() == counted + 1
    line = lines()[-1]
    assert (line["method"], line["path"], line["status"], line["client"]) == ("other", "unmatched", 414, "127.0.0.1")


def test_nothing_of_a_request_is_written_at_any_level(talkative_server: Server) -> None:
    for sent in (*(sent for sent, _ in UNREADABLE.values()), *ODD.values()):
        head, _ = answer_to(talkative_server, sent)
        assert not head.startswith(b"HTTP/1.1 500 ")
    raw = to_bytes(payload())
    assert talkative_server.post("/webhook", raw, {**signed(raw), "User-Agent": CANARY}).status == 200

    wait_until(lambda: talkative_server.request_lines()[-1]["path"] == "/webhook", "the last line")
    assert "canary" not in talkative_server.output().lower()
    assert "raceback" not in talkative_server.output()
