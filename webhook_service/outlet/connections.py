"""Connections to untrusted receivers: only to a checked address, and with a limit on every wait."""

import socket
import ssl
import sys
import time
from collections.abc import Sequence
from math import inf
from typing import Any
from urllib.parse import urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection

from webhook_service.domain.destinations import Network, Timeouts
from webhook_service.outlet.ip_addresses import Resolved, resolve

_WOULD_WAIT = (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError)
_LEAST_SHARE = 0.001  # seconds; a timeout of 0 would not wait at all


class NotConnected(OSError):
    """No connection could be made in time."""


class UnknownHost(OSError):
    """The name of the host can't be resolved."""


class TimedSocket(socket.socket):
    """A socket on which nothing waits past ``deadline``, a time of the monotonic clock.

    The standard library's own timeout begins anew with every byte that arrives.
    """

    deadline: float = inf

    def recv_into(self, *arguments: Any) -> int:
        """Receives what has arrived, or waits for it until the deadline."""
        self.settimeout(self._time_left())
        return super().recv_into(*arguments)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Sends all bytes before the deadline."""
        self._time_left()
        self.settimeout(0)  # nearly always the kernel takes all of them at once, and nothing has to wait
        try:
            sent = self.send(data, flags)
        except _WOULD_WAIT:
            sent = 0
        if sent < len(data):
            self.settimeout(self._time_left())
            super().sendall(memoryview(data)[sent:], flags)

    def _time_left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for a push is up")
        return left


class TimedTlsSocket(TimedSocket, ssl.SSLSocket):
    """A ``TimedSocket`` over TLS."""


class CheckedConnection(HTTPConnection):
    """A connection to an address that may be pushed to; its ``Host`` header still names the host."""

    limits = Timeouts()
    allowed: Sequence[Network] = ()
    _head = b""

    def send(self, data: Any) -> None:
        """Sends a request in one piece: its head is held back until its body is there, which a push always has."""
        if not self._head:
            self._head = data
            return
        head, self._head = self._head, b""
        super().send(head + data)

    def _new_conn(self) -> socket.socket:
        return _connect(self.host, self.port or self.default_port, self.allowed, self.limits)


class CheckedTlsConnection(CheckedConnection, HTTPSConnection):
    """A ``CheckedConnection`` over TLS; the certificate has to be valid for the host's name."""


def tls_context() -> ssl.SSLContext:
    """Makes a TLS context that verifies certificates against those that the system trusts."""
    context = ssl.create_default_context()
    context.sslsocket_class = TimedTlsSocket
    return context


def new_connection(
    url: str, context: ssl.SSLContext, limits: Timeouts, allowed: Sequence[Network]
) -> CheckedConnection:
    """Makes a connection to a URL's host, without connecting it yet."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection: CheckedConnection
    if parts.scheme == "https":
        connection = CheckedTlsConnection(host, parts.port, timeout=limits.connect, ssl_context=context)
    else:
        connection = CheckedConnection(host, parts.port, timeout=limits.connect)
    connection.limits, connection.allowed = limits, allowed
    return connection


def set_deadline(connection: CheckedConnection, deadline: float) -> None:
    """Sets the time of the monotonic clock at which any wait of a connection ends."""
    if isinstance(connection.sock, TimedSocket):
        connection.sock.deadline = deadline


def _connect(host: str, port: int, allowed: Sequence[Network], limits: Timeouts) -> socket.socket:
    try:
        addresses = resolve(host, port, allowed)
    except (socket.gaierror, UnicodeError) as error:
        raise UnknownHost(str(error)) from error
    deadline = time.monotonic() + limits.connect
    failure: OSError | None = None
    for tried, address in enumerate(addresses):
        share = (deadline - time.monotonic()) / (len(addresses) - tried)
        try:
            connected = _connect_to(address, max(_LEAST_SHARE, share))
        except OSError as error:
            failure = error
        else:
            sys.audit("http.client.connect", connected, host, port)
            connected.settimeout(limits.connect)  # a TLS handshake may take as long again
            return connected
    raise NotConnected(str(failure)) from failure


def _connect_to(resolved: Resolved, seconds: float) -> socket.socket:
    family, address = resolved
    connecting = TimedSocket(family, socket.SOCK_STREAM)
    try:
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connecting.settimeout(seconds)
        connecting.connect(address)
    except OSError:
        connecting.close()
        raise
    return connecting
