"""Requests that no honest client sends. None may cost a worker, and none is the service's fault."""

import json
import select
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.support.deliveries import SECRET, payload, signed, to_bytes
from tests.support.server import Server
from webhook_service.providers.native import sign

DEEP = 20_000
MAX_BODY = 3 * 2**20
CHUNK = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"


@pytest.fixture
def hardy_server(server: Server) -> Iterator[Server]:
    """A server whose workers must all live on."""
    workers = server.worker_pids()
    yield server
    assert server.deliver(payload()).status == 200
    assert server.worker_pids() == workers


def with_field(name: str, value: str) -> bytes:
    """A valid payload with this JSON in one of its fields, or in one that the contract doesn't know."""
    content = payload()
    content.pop(name, None)
    return to_bytes(content)[:-1] + f", {json.dumps(name)}: {value}}}".encode()


HOSTILE_BODIES = {
    "nothing": b"",
    "not JSON": b"\x00\x01",
    "a JSON text after another": b"{}{}",
    "an array": b"[]",
    "a number": b"1",
    "arrays in arrays": b"[" * DEEP + b"]" * DEEP,
    "arrays without an end": b"[" * DEEP,
    "objects in objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "depth in an unknown field": with_field("x", "[" * DEEP + "]" * DEEP),
    "depth that only just reads": with_field("x", "[" * 900 + "]" * 900),
    "invalid UTF-8": b'{"text": "\xff"}',
    "UTF-16": "{}".encode("utf-16"),
    "a name twice": with_field("text", '"a", "text": "b"'),
    "an integer of a million digits": with_field("x", "9" * 1_000_000),
    "a float beyond doubles": with_field("x", "1e999999999"),
    "NaN": with_field("x", "NaN"),
    "NUL": with_field("text", '"a\\u0000"'),
    "NUL in the ID": with_field("message_id", '"\\u0000"'),
    "a lone surrogate": with_field("text", '"\\ud800"'),
    "a lone surrogate in an unknown name": with_field("\ud800", "1"),
    "a text that is an object": with_field("text", "{}"),
    "an endless text": with_field("text", f'"{"a" * 2_000_000}"'),
}


@pytest.mark.parametrize("body", HOSTILE_BODIES.values(), ids=HOSTILE_BODIES)
def test_a_signed_body_that_makes_no_sense_is_422(body: bytes, hardy_server: Server) -> None:
    assert hardy_server.deliver(body).status == 422
    assert hardy_server.post("/webhook", body).status == 401


def test_odd_values_in_unknown_fields_are_kept_and_shown(hardy_server: Server) -> None:
    odd: dict[str, Any] = {
        "": "\u0000",
        "a" * 1000: [[[]]],
        "n": [0, -1, 2**63 - 1, 1e308, -0.0],
        "🦆": None,
        "from_": {},
    }
    sent = payload(**odd)

    assert hardy_server.deliver(sent).status == 200
    assert hardy_server.get(f"/messages/{sent['message_id']}").json()["extra"] == odd


@pytest.mark.parametrize("length", [MAX_BODY + 1, 10**12, 10**30])
def test_a_body_declared_too_large_is_413_before_it_is_sent(length: int, hardy_server: Server) -> None:
    request = b"POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % length

    assert status_of(hardy_server, request + b"{}") == 413


def test_a_body_that_grows_too_large_is_413_before_its_end(hardy_server: Server) -> None:
    sent = 0
    with hardy_server.connect() as connection:
        connection.sendall(b"POST /webhook HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        with suppress(BrokenPipeError, ConnectionResetError):  # the server may have heard enough
            while sent < 100 * MAX_BODY and not select.select([connection], [], [], 0)[0]:
                connection.sendall(CHUNK)
                sent += len(CHUNK)

        assert b" 413 " in connection.recv(4096).partition(b"\r\n")[0]
    assert sent < 10 * MAX_BODY


def test_a_body_at_the_limit_is_taken(hardy_server: Server) -> None:
    assert hardy_server.deliver(to_bytes(payload()).ljust(MAX_BODY)).status == 200


def test_a_chunked_body_is_taken_as_any_other(hardy_server: Server) -> None:
    raw = to_bytes(payload())
    head = f"POST /webhook HTTP/1.1\r\nHost: localhost\r\nX-Signature: {sign(SECRET, raw)}\r\n".encode()
    halves = b"".join(b"%x\r\n%s\r\n" % (len(half), half) for half in (raw[:50], raw[50:]))

    assert status_of(hardy_server, head + b"Transfer-Encoding: chunked\r\n\r\n" + halves + b"0\r\n\r\n") == 200


MONSTROUS_SIGNATURES = {
    "a megabyte": b"a" * 2**20,
    "a megabyte of umlauts": b"\xc3\xa9" * 2**19,
    "8000": b"a" * 8000,
    "an umlaut": b"\xc3\xa9",
    "no UTF-8": b"\xff\xfe",
    "digits that are not ASCII": b"sha256=" + b"\xd9\xa0" * 64,
    "only a prefix": b"sha256=",
    "NUL": b"\x00",
}


@pytest.mark.parametrize("signature", MONSTROUS_SIGNATURES.values(), ids=MONSTROUS_SIGNATURES)
def test_a_monstrous_signature_is_the_callers_fault(signature: bytes, hardy_server: Server) -> None:
    request = (
        b"POST /webhook HTTP/1.1\r\nHost: localhost\r\nX-Signature: " + signature + b"\r\nContent-Length: 2\r\n\r\n{}"
    )

    assert 400 <= status_of(hardy_server, request) < 500


@pytest.mark.parametrize(
    "rest",
    [
        b"Transfer-Encoding: chunked\r\n\r\nzzz\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcdefgh\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffffff\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: gzip\r\n\r\n",
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"Content-Length: 100\r\n\r\n{",
        b"Content-Type: multipart/form-data\r\nContent-Length: 2\r\n\r\n{}",
        b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        b"SCRIPT_NAME: /x\r\nContent-Length: 2\r\n\r\n{}",
        b"PATH_INFO: /messages\r\nContent-Length: 2\r\n\r\n{}",
        b"X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\nContent-Length: 2\r\n\r\n{}",
        b"Expect: 200-ok\r\nContent-Length: 2\r\n\r\n{}",
        b"X-Request-ID: \xff\r\nContent-Length: 2\r\n\r\n{}",
        b"No-Colon\r\n\r\n",
    ],
)
def test_a_broken_request_is_the_callers_fault(rest: bytes, hardy_server: Server) -> None:
    status = status_of(hardy_server, b"POST /webhook HTTP/1.1\r\nHost: localhost\r\n" + rest, half_close=True)

    assert 400 <= status < 500


@pytest.mark.parametrize(
    "target",
    [
        *(b"/%ff", b"/messages/%ff", b"/messages/%00", b"/messages?q=%ff", b"/messages?q=\xff"),
        *(b"/" + b"a" * 4000, b"/" + b"a" * 10_000, b"/%", b"/\xc3\xa9"),
    ],
    ids=lambda target: repr(target[:20]),
)
def test_a_broken_target_is_the_callers_fault(target: bytes, hardy_server: Server) -> None:
    assert 400 <= status_of(hardy_server, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n") < 500


@pytest.mark.parametrize(
    "host",
    [
        *(b"[", b"[::1", b"evil_name.example", b"\xff", b"..", b""),
        *(b"a" * 5000, b"localhost:99999", b"localhost:port"),
    ],
    ids=lambda host: repr(host[:20]),
)
@pytest.mark.parametrize("path", [b"/stats", b"/nothing", b"/metrics", b"/health/live"])
def test_an_odd_host_is_never_our_fault(path: bytes, host: bytes, hardy_server: Server) -> None:
    assert status_of(hardy_server, b"GET " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n") < 500


def test_two_requests_in_one_breath_are_two_requests(hardy_server: Server) -> None:
    raw = to_bytes(payload())
    head = "".join(f"{name}: {value}\r\n" for name, value in signed(raw).items())
    request = f"POST /webhook HTTP/1.1\r\nHost: localhost\r\n{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw

    assert answers(hardy_server, request * 2, half_close=True).count(b'{"status":"ok"}') == 2


def status_of(server: Server, request: bytes, *, half_close: bool = False) -> int:
    answer = answers(server, request, half_close=half_close)
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer.split()[1])


def answers(server: Server, request: bytes, *, half_close: bool) -> bytes:
    """All that comes back until the connection is closed, or until the first answer is complete."""
    received = b""
    with server.connect() as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # the server may have heard enough
            connection.sendall(request)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        while half_close or b"\r\n\r\n" not in received:
            part = connection.recv(65536)
            if not part:
                break
            received += part
    return received
