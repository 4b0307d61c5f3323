"""Pushing: one signed request, and what came of it. Whatever the receiver does, no exception is raised."""

import ssl
import time
from collections import deque
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import NamedTuple
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from webhook_service.domain.destinations import ANSWER_KEPT, Attempt, Failure, Target
from webhook_service.domain.messages import StoredMessage
from webhook_service.outlet.connections import (
    CheckedConnection,
    NotConnected,
    UnknownHost,
    new_connection,
    set_deadline,
    tls_context,
)
from webhook_service.outlet.ip_addresses import AddressRefused
from webhook_service.outlet.signing import PushSigner, body_of

RETRY_AFTER_MOST = 3600.0  # the longest wait that a receiver may ask for, in seconds

_FAILURES: tuple[tuple[type[Exception], Failure], ...] = (
    (AddressRefused, Failure.ADDRESS_REFUSED),
    (UnknownHost, Failure.UNKNOWN_HOST),
    (NotConnected, Failure.NOT_CONNECTED),
    (ssl.SSLError, Failure.TLS_FAILED),
    (TimeoutError, Failure.TIMED_OUT),
)
_PUSH_FAILED = (OSError, HTTPError, HTTPException, ValueError)


class _Answer(NamedTuple):
    status: int
    retry_after: str | None
    beginning: bytes


class Sender:
    """Pushes messages to one target over connections that are kept alive; any number of threads may use it."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._signer = PushSigner(target.secrets)
        self._context = tls_context()
        parts = urlsplit(target.url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._idle: deque[CheckedConnection] = deque()

    def push(self, message: StoredMessage) -> Attempt:
        """Pushes a message once."""
        return self.send(message.message_id, body_of(message))

    def send(self, message_id: str, body: bytes) -> Attempt:
        """Pushes the bytes of a message once."""
        now, began = datetime.now(UTC), time.monotonic()
        headers = self._signer.headers(message_id, body, now)
        try:
            answer = self._exchange(body, headers, began + self._target.timeouts.total)
        except _PUSH_FAILED as error:
            return Attempt(now, time.monotonic() - began, failure=_failure_of(error))
        return Attempt(
            now,
            time.monotonic() - began,
            answer.status,
            _judge(answer.status),
            answer.beginning.decode(errors="replace").replace("\x00", "\ufffd"),
            read_retry_after(answer.retry_after, now),
        )

    def close(self) -> None:
        """Closes the connections that are idle."""
        while self._idle:
            self._idle.pop().close()

    def _exchange(self, body: bytes, headers: dict[str, str], deadline: float) -> _Answer:
        connection = self._take_idle()
        if connection is not None:
            try:
                return self._ask(connection, body, headers, deadline)
            except ConnectionError:
                pass  # the receiver may have closed it just before the request came: this is no failure of the push
        return self._ask(self._new(), body, headers, deadline)

    def _ask(self, connection: CheckedConnection, body: bytes, headers: dict[str, str], deadline: float) -> _Answer:
        """Sends a request and reads the beginning of the answer; keeps the connection if the answer has no more."""
        is_whole = False
        try:
            if connection.sock is None:
                connection.connect()
            set_deadline(connection, deadline)
            connection.request("POST", self._path, body=body, headers=headers, preload_content=False)
            response = connection.getresponse()
            beginning, is_whole = _read_beginning(response)
            return _Answer(response.status, response.headers.get("Retry-After"), beginning)
        finally:
            if is_whole and connection.sock is not None:
                self._idle.append(connection)
            else:
                connection.close()

    def _take_idle(self) -> CheckedConnection | None:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            # Bytes that nobody asked for would be taken for the answer to the next request.
            if connection.is_connected:
                return connection
            connection.close()

    def _new(self) -> CheckedConnection:
        target = self._target
        return new_connection(target.url, self._context, target.timeouts, target.allowed_networks)


def read_retry_after(value: str | None, now: datetime) -> float | None:
    """Reads a ``Retry-After`` (RFC 9110, section 10.2.3) as seconds, at most an hour; None for any other text."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:16]), RETRY_AFTER_MOST)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - now).total_seconds()), RETRY_AFTER_MOST)


def _read_beginning(response: BaseHTTPResponse) -> tuple[bytes, bool]:
    """Reads what is kept of an answer, and tells whether that is all of it. It may break off: the status is there."""
    beginning = b""
    try:
        while len(beginning) < ANSWER_KEPT:
            more = response.read1(ANSWER_KEPT - len(beginning), decode_content=False)
            if not more:
                return beginning, True
            beginning += more
    except _PUSH_FAILED:
        pass
    return beginning, False


def _judge(status: int) -> Failure | None:
    if 200 <= status < 300:
        return None
    return Failure.REDIRECTED if 300 <= status < 400 else Failure.STATUS


def _failure_of(error: Exception) -> Failure:
    return next((failure for kind, failure in _FAILURES if isinstance(error, kind)), Failure.BROKEN_OFF)
