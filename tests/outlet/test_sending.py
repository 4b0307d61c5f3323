"""Pushes as bytes on a connection, in plain text and over TLS."""

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.support.messages import MOMENT
from tests.support.receivers import Receiver
from webhook_service.domain.destinations import Attempt, Failure, Target, Timeouts
from webhook_service.domain.messages import StoredMessage
from webhook_service.domain.secrets import Secrets
from webhook_service.outlet.connections import TimedSocket
from webhook_service.outlet.sender import Sender

SECRET = Secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
LOOPBACK = (ip_network("127.0.0.0/8"),)
LONG = "x" * 20_000_000  # more than the buffers of a connection take, so it is sent bit by bit


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for this machine, with its key, that nobody trusts yet."""
    path = tmp_path_factory.mktemp("tls") / "receiver.pem"
    make = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost")
    names = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", path.with_suffix(".crt"))
    subprocess.run([*make, *names], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the system trust the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_suffix(".crt")))


@pytest.fixture(params=["plain", "TLS"])
def receiver(request: pytest.FixtureRequest, certificate: Path) -> Iterator[Receiver]:
    """A receiver of each kind."""
    with Receiver(tls=server_context(certificate) if request.param == "TLS" else None) as receiver:
        yield receiver


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def push(url: str, text: str = "Hello", timeouts: Timeouts | None = None) -> Attempt:
    sender = Sender(Target(url, SECRET, timeouts or Timeouts(), LOOPBACK))
    message = StoredMessage(1, "m1", "+4915112345678", "+4930", MOMENT, text, "native", "text", MOMENT, None, "shop")
    try:
        return sender.push(message)
    finally:
        sender.close()


@pytest.mark.usefixtures("trusted")
def test_a_message_of_any_length_arrives_whole(receiver: Receiver) -> None:
    for text in ("Hello", LONG):
        assert push(receiver.url, text, Timeouts(total=60)).is_accepted
        assert json.loads(receiver.received[-1].body)["text"] == text


@pytest.mark.usefixtures("trusted")
def test_a_receiver_that_reads_nothing_is_given_up(receiver: Receiver) -> None:
    ended = threading.Event()
    receiver.before_reading = ended.wait
    began = time.monotonic()
    attempt = push(receiver.url, LONG, Timeouts(connect=0.5, total=0.5))
    ended.set()

    assert attempt.failure is Failure.TIMED_OUT
    assert time.monotonic() - began < 10


def test_a_certificate_that_nobody_trusts_is_a_failure_of_tls(certificate: Path) -> None:
    with Receiver(tls=server_context(certificate)) as receiver:
        assert push(receiver.url).failure is Failure.TLS_FAILED
        assert receiver.received == []


def test_a_push_leaves_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[bytes] = []

    def send(self: TimedSocket, data: bytes, flags: int = 0) -> int:
        pieces.append(data)
        return socket.socket.send(self, data, flags)

    monkeypatch.setattr(TimedSocket, "send", send)
    with Receiver() as receiver:
        assert push(receiver.url).is_accepted

    (piece,) = pieces
    head, _, body = piece.partition(b"\r\n\r\n")
    assert json.loads(body)["message_id"] == "m1"
    assert b"content-length: %d" % len(body) in head.lower()
