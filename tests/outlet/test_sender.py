"""Pushing a message: what the receiver gets, and what a receiver of any kind does to the sender."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_network
from typing import Any

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from tests.support.messages import MOMENT
from tests.support.receivers import OK, Received, Receiver, answer, closed_port, drip, hang, raw, reset
from webhook_service.domain.destinations import ANSWER_KEPT, Failure, Target, Timeouts
from webhook_service.domain.messages import StoredMessage
from webhook_service.domain.secrets import Secrets
from webhook_service.outlet.sender import RETRY_AFTER_MOST, Sender, read_retry_after

CURRENT, PREVIOUS = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
LOOPBACK = (ip_network("127.0.0.0/8"),)
NO_FAMILY = 255
SHORT = Timeouts(connect=0.5, total=0.5)
NOW = datetime(2025, 1, 15, 10, tzinfo=UTC)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


_made: list[Sender] = []


@pytest.fixture(autouse=True)
def _closed_in_the_end() -> Iterator[None]:
    yield
    while _made:
        _made.pop().close()


def sender_to(url: str, **fields: Any) -> Sender:
    values: dict[str, Any] = {"secrets": Secrets(CURRENT), "allowed_networks": LOOPBACK, **fields}
    _made.append(Sender(Target(url, **values)))
    return _made[-1]


def stored(message_id: str = "m1", text: str | None = "Hello", extra: str | None = None) -> StoredMessage:
    return StoredMessage(
        1, message_id, "+4915112345678", "+4930", MOMENT, text, "native", "text", MOMENT, extra, "shop"
    )


def test_the_receiver_gets_the_message_as_the_feed_shows_it(receiver: Receiver) -> None:
    attempt = sender_to(receiver.url + "?a=b").push(stored(extra='{"a": 1}'))

    assert attempt.is_accepted
    assert (attempt.status, attempt.answer) == (200, "ok")
    (received,) = receiver.received
    assert received.line == "POST /hook?a=b HTTP/1.1"
    assert received.headers["webhook-id"] == "m1"
    assert json.loads(received.body) == {
        "message_id": "m1",
        "from": "+4915112345678",
        "to": "+4930",
        "ts": "2025-01-15T10:00:00Z",
        "text": "Hello",
        "source": "shop",
        "provider": "native",
        "type": "text",
        "received_at": "2025-01-15T10:00:00Z",
        "extra": {"a": 1},
    }


@pytest.mark.parametrize("text", ["Hello", "Grüße 👋\n\u2028", None])
@pytest.mark.parametrize("message_id", ["wamid.HBgL=", "ä\r\nX-Injected: 1", "100% mine", "👋" * 255])
def test_a_library_of_standard_webhooks_takes_the_request(
    receiver: Receiver, text: str | None, message_id: str
) -> None:
    sender_to(receiver.url).push(stored(message_id, text))

    (received,) = receiver.received
    assert Webhook(CURRENT).verify(received.body, received.headers)["text"] == text
    assert "x-injected" not in received.headers


def test_while_a_secret_is_replaced_either_verifies(receiver: Receiver) -> None:
    sender_to(receiver.url, secrets=Secrets(CURRENT, PREVIOUS)).push(stored())

    (received,) = receiver.received
    for secret in (CURRENT, PREVIOUS):
        Webhook(secret).verify(received.body, received.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 32).verify(received.body, received.headers)


def test_two_ids_never_become_one_header(receiver: Receiver) -> None:
    sender = sender_to(receiver.url)
    for message_id in ("a b", "a%20b", "a+b"):
        sender.push(stored(message_id))

    assert len(set(receiver.ids())) == 3


def test_a_connection_is_kept_alive(receiver: Receiver) -> None:
    sender = sender_to(receiver.url)

    assert all(sender.push(stored()).is_accepted for _ in range(3))
    assert {received.connection for received in receiver.received} == {1}


def test_a_connection_that_was_closed_while_idle_is_no_failure(receiver: Receiver) -> None:
    receiver.answer = raw(OK, then_close=True)
    sender = sender_to(receiver.url)

    assert all(sender.push(stored()).is_accepted for _ in range(3))
    assert receiver.connections == 3  # a request that meets the end of the one before is sent again on the next


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(receiver: Receiver, status: int) -> None:
    with Receiver() as private:
        receiver.answer = answer(status, Location=private.url)
        attempt = sender_to(receiver.url).push(stored())

        assert (attempt.status, attempt.failure) == (status, Failure.REDIRECTED)
        assert private.received == []


@pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 500, 503])
def test_a_status_that_is_no_success_is_a_failure(receiver: Receiver, status: int) -> None:
    receiver.answer = answer(status, b"why", Retry_After="7")
    attempt = sender_to(receiver.url).push(stored())

    assert (attempt.status, attempt.failure) == (status, Failure.STATUS)
    assert (attempt.answer, attempt.retry_after) == ("why", 7.0)


def test_a_private_address_is_refused_and_not_connected_to(receiver: Receiver) -> None:
    attempt = sender_to(receiver.url, allowed_networks=()).push(stored())

    assert attempt.failure is Failure.ADDRESS_REFUSED
    assert receiver.connections == 0


def test_a_name_is_resolved_once_so_it_can_not_point_elsewhere_after_the_check(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = receiver.port
    asked = []

    def rebinding(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)

    assert sender_to(f"http://rebinding.example:{port}/").push(stored()).is_accepted
    assert asked == ["rebinding.example"]
    assert receiver.received[0].headers["host"] == f"rebinding.example:{port}"


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[int, str]) -> None:
    """Every name has these addresses, each with its family, in this order."""

    def resolve(_host: str, port: int, **_: Any) -> list[Any]:
        return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for family, address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@contextmanager
def silent(port: int) -> Iterator[str]:
    """An address that answers no attempt to connect: its queue of connections is full."""
    address = "127.0.0.2"
    with socket.create_server((address, port), backlog=0), socket.create_connection((address, port)):
        yield address


def test_an_address_that_does_not_answer_leaves_the_others_their_share_of_the_time(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent(receiver.port) as address:
        resolve_to(monkeypatch, (socket.AF_INET, address), (socket.AF_INET, "127.0.0.1"))
        attempt = sender_to(f"http://two.example:{receiver.port}/", timeouts=Timeouts(connect=3, total=9)).push(
            stored()
        )

    assert attempt.is_accepted
    assert 1.5 <= attempt.seconds < 2.9


def test_an_address_of_a_family_that_this_machine_lacks_is_passed_over(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, (NO_FAMILY, "127.0.0.1"), (socket.AF_INET, "127.0.0.1"))

    assert sender_to(f"http://two.example:{receiver.port}/").push(stored()).is_accepted


def test_an_unknown_host_and_a_closed_port_are_told_apart() -> None:
    assert sender_to("http://nowhere.invalid/").push(stored()).failure is Failure.UNKNOWN_HOST
    with closed_port() as port:
        assert sender_to(f"http://127.0.0.1:{port}/").push(stored()).failure is Failure.NOT_CONNECTED


def test_plain_http_behind_https_is_a_failure_of_tls(receiver: Receiver) -> None:
    receiver.answer = raw(b"HTTP/1.1 400 Bad\r\n\r\n", then_close=True)
    attempt = sender_to(receiver.url.replace("http:", "https:")).push(stored())

    assert attempt.failure in {Failure.TLS_FAILED, Failure.TIMED_OUT}


@pytest.mark.parametrize(
    "behaviour",
    [hang, drip(OK, 0.3), drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 0.02)],
    ids=["hangs", "drips", "continues for ever"],
)
def test_a_receiver_that_takes_its_time_is_given_up(receiver: Receiver, behaviour: Any) -> None:
    receiver.answer = behaviour
    began = time.monotonic()
    attempt = sender_to(receiver.url, timeouts=SHORT).push(stored())

    assert attempt.failure is Failure.TIMED_OUT
    assert time.monotonic() - began < 20 * SHORT.total


def test_the_status_decides_although_the_body_never_ends(receiver: Receiver) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"

    def never_end(received: Received, connection: socket.socket) -> None:
        connection.sendall(head)
        drip(b"x" * 1000, 0.05)(received, connection)

    receiver.answer = never_end
    attempt = sender_to(receiver.url, timeouts=SHORT).push(stored())

    assert attempt.is_accepted
    assert set(attempt.answer) == {"x"}
    assert attempt.seconds < 20 * SHORT.total


def test_only_the_beginning_of_a_long_answer_is_read(receiver: Receiver) -> None:
    receiver.answer = answer(500, b"y" * 10_000_000)
    attempt = sender_to(receiver.url).push(stored())

    assert attempt.answer == "y" * ANSWER_KEPT
    assert attempt.status == 500


@pytest.mark.parametrize(
    "lie",
    [
        b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_more_than_was_announced_is_no_answer_to_the_next_push(receiver: Receiver, lie: bytes) -> None:
    receiver.answer = raw(lie)
    sender = sender_to(receiver.url)

    assert [sender.push(stored()).status for _ in range(3)] == [500, 500, 500]


@pytest.mark.parametrize(
    "behaviour",
    [
        reset,
        raw(b"", then_close=True),
        raw(b"not HTTP at all\r\n\r\n", then_close=True),
        raw(b"HTTP/1.1 abc\r\n\r\n", then_close=True),
        raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, then_close=True),
        raw(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n", then_close=True),
    ],
)
def test_what_is_no_http_is_a_failure(receiver: Receiver, behaviour: Any) -> None:
    receiver.answer = behaviour

    assert sender_to(receiver.url).push(stored()).failure is Failure.BROKEN_OFF


def test_an_answer_that_no_database_takes_is_made_one_that_it_takes(receiver: Receiver) -> None:
    receiver.answer = answer(500, b"\x00\xff")

    assert sender_to(receiver.url).push(stored()).answer == "\ufffd\ufffd"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        (" " * 20 + "5", 5.0),
        ("9" * 400, RETRY_AFTER_MOST),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
        (format_datetime(NOW + timedelta(days=999), usegmt=True), RETRY_AFTER_MOST),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("\u0663", None),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999999999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_bounds(value: str | None, seconds: float | None) -> None:
    assert read_retry_after(value, NOW) == seconds
