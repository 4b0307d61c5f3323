"""Receivers of pushes: each remembers the requests that came, and answers with whatever bytes the test wants."""

import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MALFORMED = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nno header at all\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Received:
    """A request: its first line, its headers by lower-case name, its body, its connection's number, and its time."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int
    at: float


Answer = Callable[[Received, socket.socket], None]


def accept(_received: Received, connection: socket.socket) -> None:
    """Answers 200, which accepts the message."""
    connection.sendall(OK)


def answer(status: int, body: bytes = b"ok", **headers: str) -> Answer:
    """Makes an answer with a status, a body and headers, the same for every request."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} Words\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode()
    return raw(head + body)


def raw(content: bytes, *, then_close: bool = False) -> Answer:
    """Makes an answer of exactly these bytes."""

    def send(_received: Received, connection: socket.socket) -> None:
        connection.sendall(content)
        if then_close:
            connection.shutdown(socket.SHUT_RDWR)

    return send


def drip(content: bytes, pause: float) -> Answer:
    """Makes an answer that is sent one byte at a time."""

    def send(_received: Received, connection: socket.socket) -> None:
        for byte in content:
            connection.sendall(bytes([byte]))
            time.sleep(pause)

    return send


def hang(_received: Received, connection: socket.socket) -> None:
    """Answers nothing and waits for the other side to give up."""
    connection.recv(1)


def reset(_received: Received, connection: socket.socket) -> None:
    """Resets the connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    os.close(connection.detach())  # closes it at once, although a file object has it open


@dataclass
class Receiver:
    """A receiver on a free port of 127.0.0.1; as a context, it listens during the block. ``answer`` may be replaced.

    With ``before_reading`` it does something else before it reads what a new connection sends.
    """

    answer: Answer = accept
    tls: ssl.SSLContext | None = None
    before_reading: Callable[[], object] = lambda: None
    received: list[Received] = field(default_factory=list)
    connections: int = 0

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/hook"

    def ids(self) -> list[str]:
        """Returns the IDs of the messages that came, in order."""
        return [received.headers["webhook-id"] for received in list(self.received)]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.add(connection)
                threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with suppress(OSError, ValueError), self._secured(connection) as connection:
            self.before_reading()
            for received in _requests(connection, number):
                self.received.append(received)
                self.answer(received, connection)
        self._open.discard(connection)

    def _secured(self, connection: socket.socket) -> socket.socket:
        return self.tls.wrap_socket(connection, server_side=True) if self.tls else connection


def _requests(connection: socket.socket, number: int) -> Iterator[Received]:
    with connection.makefile("rb") as file:
        while line := file.readline():
            headers = {}
            while (header := file.readline().strip()) != b"":
                name, _, value = header.decode().partition(": ")
                headers[name.lower()] = value
            body = file.read(int(headers.get("content-length", "0")))
            yield Received(line.decode().strip(), headers, body, number, time.monotonic())


@contextmanager
def closed_port() -> Iterator[int]:
    """Gives a port on which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
