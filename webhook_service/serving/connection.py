"""A client's connection, as the thread that owns the sockets sees it."""

from enum import Enum, auto
from http import HTTPStatus
from math import inf
from socket import MSG_DONTWAIT, MSG_PEEK, SHUT_RD, SHUT_WR, socket
from time import monotonic, perf_counter
from typing import Any

from gunicorn.http import get_parser  # type: ignore[import-untyped]  # gunicorn has no types
from gunicorn.workers.gthread import TConn  # type: ignore[import-untyped]

from webhook_service.serving.framing import MAX_WHOLE, Kind, RequestBuffer

MAX_TRANSFER = 60.0  # seconds in which a request has to arrive, if it is small enough to wait for
MAX_QUEUED = 10.0  # seconds that a longer request may wait for a thread
MAX_DELAY = 10.0  # seconds that a longer request may take on top of those that LEAST_RATE gives it
LEAST_RATE = 64 * 1024  # bytes a second
STOP_LINGER = 1.0  # seconds that a stopping worker waits for a request, and for the rest of one that has begun
STOP_LONG = 5.0  # seconds that it waits for the rest of a long request
LINGER = 2.0  # seconds that a client has to read its last answer before the connection is closed for good
# Bytes that are read and discarded meanwhile: many clients look at their answer only once they have sent everything.
MAX_DRAINED = 8 * 2**20


class State(Enum):
    """The state of a connection."""

    READING = auto()  # waiting for a request
    BUSY = auto()  # its request is in a round or in the pool of threads
    QUEUED = auto()  # its request or the answer is long, and waits for a thread of the pool
    LONG = auto()  # a thread of the pool reads the rest of its long request, or sends a long answer
    HELD = auto()  # its answer is held back
    LINGERING = auto()  # its last answer is sent, and the client is to close it
    CLOSED = auto()


class Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """A plain HTTP/1 connection, read without waiting for the client."""

    def __init__(self, cfg: Any, sock: socket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        self.parser = get_parser(cfg, sock, client)
        self.initialized = True
        self.buffer = RequestBuffer()
        self.arrived_at = 0.0  # when the request was whole, by perf_counter
        self.state = State.READING
        self.is_watched = False
        self.has_been_used = False
        self._is_ending = False
        self._keepalive = cfg.keepalive
        self.waits_since = monotonic()
        self.deadline = self.waits_since + self._keepalive
        self._drained = 0
        self.refusal: HTTPStatus | None = None  # the status to answer with, whatever has arrived
        self.held: Any = None  # the request whose answer is held back, as serving.waiting keeps it

    def receive(self) -> bool:
        """Reads what has arrived; False when the client has closed its side. Raises OSError for a broken connection."""
        try:
            data = self.sock.recv(MAX_WHOLE)
        except BlockingIOError:
            return True
        if self.state is State.LINGERING:
            self._drained += len(data)
            return bool(data) and self._drained < MAX_DRAINED
        if not self.buffer:
            self.deadline = monotonic() + (STOP_LINGER if self._is_ending else MAX_TRANSFER)
        self.buffer.add(data)
        return bool(data)

    def kind(self) -> Kind:
        """Returns the kind of the next request."""
        return self.buffer.kind() if self.buffer else Kind.INCOMPLETE

    def begin(self) -> None:
        """Hands the bytes that have arrived to the parser, so that the next request can be served."""
        self.state = State.BUSY
        self.has_been_used = True
        self.arrived_at = perf_counter()
        self.parser.unreader.unread(self.buffer.take())

    def queue(self) -> None:
        """Has a long request wait for a thread."""
        self.state = State.QUEUED
        self.deadline = monotonic() + (STOP_LONG if self._is_ending else MAX_QUEUED)

    def begin_long(self, most: int) -> None:
        """Does what ``begin`` does for a long request; where its length is unknown, ``most`` bytes are allowed for."""
        seconds = MAX_DELAY + min(self.buffer.length() or most, most) / LEAST_RATE
        self.deadline = inf if self.buffer.kind() is Kind.EXPORT else monotonic() + seconds
        if self._is_ending:
            self.deadline = min(self.deadline, monotonic() + STOP_LONG)
        self.begin()
        self.state = State.LONG

    def refuse(self, status: HTTPStatus) -> None:
        """Prepares a request that won't be served to be answered with a status, by a thread of the pool."""
        self.refusal = status
        self.begin()

    def end_request(self) -> None:
        """Ends the reading of a long request whose time is up: its thread sees the end of input. Raises OSError."""
        self.deadline = inf
        self.sock.shutdown(SHUT_RD)

    def hold(self) -> None:
        """Marks the connection as one whose answer is held back."""
        self.state = State.HELD
        self.deadline = inf

    def is_abandoned(self) -> bool:
        """Tells whether the client has closed its side while its answer is held back."""
        try:
            return not self.sock.recv(1, MSG_PEEK | MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def resume(self) -> None:
        """Makes the connection ready for its next request, part of which the parser may have read already."""
        self.state = State.READING
        self.waits_since = monotonic()
        self.deadline = self.waits_since + (STOP_LINGER if self._is_ending else self._keepalive)
        read_ahead = self.parser.unreader.take_buffered()
        if read_ahead:
            self.buffer.add(read_ahead)

    def end(self) -> None:
        """Gives the client little time for what it sends from now on, since the worker stops."""
        self._is_ending = True
        now = monotonic()
        if self.state is State.READING:
            # A client that has just come, or was just answered, may be sending a request already.
            is_known = self.has_been_used or self.buffer
            linger = STOP_LONG if self.buffer.length() else STOP_LINGER
            self.deadline = linger + (now if is_known else self.waits_since)
        elif self.state in {State.LONG, State.QUEUED}:
            self.deadline = min(self.deadline, now + STOP_LONG)

    def linger(self) -> None:
        """Closes the sending side, so that the client sees the answer's end (RFC 9112, section 9.6). Raises OSError."""
        self.state = State.LINGERING
        self.deadline = monotonic() + LINGER
        self.sock.shutdown(SHUT_WR)

    def close(self, graceful: bool = False) -> None:  # noqa: ARG002  # gunicorn's signature
        """Closes the socket at once."""
        self.state = State.CLOSED
        super().close()
