"""The thread of a worker that takes in deliveries, as many at a time as have arrived, and answers them."""

import io
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from queue import Empty, SimpleQueue
from signal import SIGQUIT
from socket import socket
from threading import Thread
from time import perf_counter, time
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]  # gunicorn has no types
from gunicorn.http import wsgi  # type: ignore[import-untyped]

from webhook_service.domain.deliveries import Delivery
from webhook_service.intake.commit import PATIENCE
from webhook_service.intake.take_in import Intake
from webhook_service.intake.wsgi import VERDICT, delivery_in
from webhook_service.serving.connection import Connection
from webhook_service.web.context import ARRIVED_AT
from webhook_service.web.logs import lines_in_one_write
from webhook_service.web.metrics import counts_added_up

ANSWERED_WITHIN = 4.0  # seconds from a delivery's arrival in which the service tries to store it
MAX_ROUND = 128  # deliveries that are taken in together
# The most deliveries of a round that are slow to verify: 16 signatures by a public key take 2 to 3 ms, and 128 would
# hold up the others for 20 ms (python -m benchmarks.verifying). A pool of threads would not verify more of them, since
# there is a worker for each processor.
MAX_SLOW = 16
# Answers that are made before the first of them is sent. A client that is sent its answer takes the processor from the
# thread that makes the next one, so answers are sent together; but the first must not wait for all 128 of a round.
ANSWERED_TOGETHER = 8
# Seconds that the main thread waits for a round, so that the two threads don't compete for the interpreter. Most rounds
# take less; during a longer one, such as one that waits for the database, the main thread goes back to its sockets.
PAUSE = 0.02

Answered = list[tuple[Connection, bool]]
"""The connections of a round, each with whether it can be kept."""


class Outbox:
    """A stand-in for the socket, which keeps the parts of an answer."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        """Keeps a part."""
        self.parts.append(data)


class BufferedResponse(wsgi.Response):  # type: ignore[misc]  # gunicorn has no types
    """An answer that is sent by one call, without waiting for the client."""

    def __init__(self, request: Any, _sock: object, cfg: Any) -> None:
        self._outbox = Outbox()
        super().__init__(request, self._outbox, cfg)

    def default_headers(self) -> list[str]:
        """Returns the status line and gunicorn's own headers; the date is made once a second."""
        major, minor = self.req.version
        return [
            f"HTTP/{major}.{minor} {self.status}\r\n",
            f"Server: {self.version}\r\n",
            f"Date: {_http_date(int(time()))}\r\n",
            f"Connection: {'close' if self.should_close() else 'keep-alive'}\r\n",
            *(["Transfer-Encoding: chunked\r\n"] if self.chunked else ()),
        ]

    def send_by(self, sock: socket) -> None:
        """Sends the answer. Raises OSError when the client reads so slowly that there is no room for it."""
        answer = b"".join(self._outbox.parts)
        if sock.send(answer) < len(answer):
            raise BlockingIOError("the client leaves its answers unread")


@lru_cache(maxsize=1)
def _http_date(second: int) -> str:
    date: str = util.http_date(second)
    return date


@dataclass(slots=True)
class Exchange:
    """A parsed request, the answer to it, and the delivery in it, if it is one."""

    connection: Connection
    request: Any
    response: BufferedResponse
    environ: dict[str, Any]
    delivery: Delivery | None


def _patience(deliveries: list[Exchange]) -> float:
    """Returns the seconds that a commit may wait; the longer a delivery has waited for other rounds, the fewer."""
    waited = perf_counter() - min((exchange.connection.arrived_at for exchange in deliveries), default=0.0)
    return max(0.0, min(PATIENCE, ANSWERED_WITHIN - waited))


class Rounds:
    """Passes deliveries to a thread of their own, and their connections back to the thread that owns the sockets."""

    def __init__(self, worker: Any, intake: Intake, notify: Callable[[], None]) -> None:
        self._worker = worker
        self._intake = intake
        self._notify = notify
        self._submitted: SimpleQueue[list[Connection]] = SimpleQueue()
        self._answered: SimpleQueue[Answered] = SimpleQueue()
        self._deferred: deque[Exchange] = deque()  # deliveries that are slow to verify and wait for a later round
        self._is_awaited = False
        self._under_way = 0
        self._thread = Thread(target=self._run, name="rounds", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def submit(self, connections: list[Connection]) -> Answered:
        """Has the deliveries on these connections taken in; returns the connections of the rounds that have ended.

        Rounds that end later are announced by ``notify``, and are then fetched by ``answered``.
        """
        is_idle = not self._under_way
        self._under_way += len(connections)
        self._is_awaited = is_idle
        self._submitted.put(connections)
        if is_idle:
            return self._await()
        return self.answered()

    def answered(self) -> Answered:
        """Returns the connections of the rounds that have ended since the last call."""
        done: Answered = []
        try:
            while True:
                done += self._answered.get_nowait()
        except Empty:
            self._under_way -= len(done)
            return done

    def _await(self) -> Answered:
        try:
            done = self._answered.get(timeout=PAUSE)
        except Empty:
            done = []
        self._under_way -= len(done)
        self._is_awaited = False
        return done + self.answered()

    def _run(self) -> None:
        try:
            while True:
                connections = self._next()
                for first in range(0, len(connections) or 1, MAX_ROUND):
                    self._answered.put(self._serve(connections[first : first + MAX_ROUND]))
                    if not self._is_awaited:
                        self._notify()
        except BaseException:
            # Nobody else answers these connections. Their clients see them close as the worker ends, and send again.
            self._worker.log.exception("the thread that takes deliveries in has failed")
            os.kill(os.getpid(), SIGQUIT)
            raise

    def _next(self) -> list[Connection]:
        """Returns the connections with requests to be served; waits for one when there is nothing else to do."""
        connections = [] if self._deferred else self._submitted.get()
        while not self._submitted.empty():
            connections += self._submitted.get_nowait()
        return connections

    def _serve(self, connections: Sequence[Connection]) -> Answered:
        parsed = [(connection, self._parse(connection)) for connection in connections]
        unreadable = [(connection, False) for connection, exchange in parsed if exchange is None]
        exchanges = self._defer_slow([exchange for _, exchange in parsed if exchange is not None])
        self._take_in(exchanges)
        answered = unreadable
        for first in range(0, len(exchanges), ANSWERED_TOGETHER):
            answered += self._answer(exchanges[first : first + ANSWERED_TOGETHER])
        return answered

    def _defer_slow(self, exchanges: list[Exchange]) -> list[Exchange]:
        """Returns what this round takes in: all that is quick, and the first of the slow ones; defers the others."""
        quick: list[Exchange] = []
        for exchange in exchanges:
            is_slow = exchange.delivery is not None and self._intake.is_slow(exchange.delivery)
            (self._deferred if is_slow else quick).append(exchange)
        return quick + [self._deferred.popleft() for _ in range(min(MAX_SLOW, len(self._deferred)))]

    def _parse(self, connection: Connection) -> Exchange | None:
        try:
            request = next(connection.parser)
            raw = request.body.read()
            connection.parser.mesg = None  # the body is read, so the parser has none to skip before the next request
            request.body = io.BytesIO(raw)
            response, environ = wsgi.create(
                request, connection.sock, connection.client, connection.server, self._worker.cfg, BufferedResponse
            )
            environ["wsgi.multithread"] = True
            environ[ARRIVED_AT] = connection.arrived_at
            return Exchange(connection, request, response, environ, delivery_in(environ, raw, self._intake))
        except StopIteration:
            return None
        except Exception as error:
            self._worker.handle_error(None, connection.sock, connection.client, error)
            return None

    def _take_in(self, exchanges: list[Exchange]) -> None:
        """Takes in deliveries and leaves each its verdict. If a round fails, the view takes them in, one at a time."""
        deliveries = [exchange for exchange in exchanges if exchange.delivery is not None]
        try:
            verdicts = self._intake.take_in(
                [exchange.delivery for exchange in deliveries if exchange.delivery], _patience(deliveries)
            )
        except Exception:
            self._worker.log.exception("a round of deliveries failed")
            return
        for exchange, verdict in zip(deliveries, verdicts, strict=True):
            exchange.environ[VERDICT] = verdict

    def _answer(self, exchanges: Sequence[Exchange]) -> Answered:
        """Answers requests, whose log lines are written, and which are counted, before the answers are sent."""
        with lines_in_one_write(), counts_added_up():
            are_made = [self._make_answer(exchange) for exchange in exchanges]
        return [
            (exchange.connection, is_made and self._send_answer(exchange))
            for exchange, is_made in zip(exchanges, are_made, strict=True)
        ]

    def _make_answer(self, exchange: Exchange) -> bool:
        """Has the application answer a request; False when it fails."""
        response = exchange.response
        if self._worker.count_request():
            response.force_close()
        try:
            chunks = self._worker.wsgi(exchange.environ, response.start_response)
            try:
                for chunk in chunks:
                    response.write(chunk)
                response.close()
            finally:
                if hasattr(chunks, "close"):
                    chunks.close()
        except Exception as error:
            connection = exchange.connection
            self._worker.handle_error(exchange.request, connection.sock, connection.client, error)
            return False
        return True

    def _send_answer(self, exchange: Exchange) -> bool:
        """Sends the answer that was made; tells whether the connection can be kept."""
        try:
            exchange.response.send_by(exchange.connection.sock)
        except OSError as error:
            self._worker.log.debug("a client did not take its answer: %s", error)
            return False
        return not exchange.response.should_close()
