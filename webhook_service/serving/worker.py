"""A threaded gunicorn worker that waits for no client, and takes deliveries in by the round.

Its main thread owns the sockets: it accepts, reads what has arrived, and closes, and none of that ever blocks. A whole
delivery goes to the thread of the rounds, any other request to gunicorn's pool once it is whole, or too large to wait
for. Over TLS, where bytes are not what they seem, ``server.py`` has gunicorn's own threaded worker serve instead.
"""

import errno
import os
import selectors
import struct
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from queue import SimpleQueue
from signal import SIG_IGN, SIGHUP, SIGINT, SIGQUIT, SIGTERM, signal
from socket import SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET, socket
from time import monotonic
from typing import Any

from webhook_service.intake.take_in import INTAKE
from webhook_service.outlet.lookout import LOOKOUT
from webhook_service.serving.connection import Connection, State
from webhook_service.serving.framing import Kind
from webhook_service.serving.refusals import status_of
from webhook_service.serving.rounds import Answered, Rounds
from webhook_service.serving.waiting import HeldRequests, HoldingWorker
from webhook_service.web.unreadable import answer_unreadable

# Seconds that a thread of the pool waits for a client to send or to take something; nginx has the same for its clients.
MAX_STANDSTILL = 60.0
INSPECTION = 1.0  # seconds between two looks for connections whose time is up, and between two signs of life
STOP_LINGER = 1.0  # seconds in which a stopping worker still answers what kept-alive clients may have sent already
TIME_TO_SPEAK = 1.0  # seconds in which a new connection is not closed to make room for another
STOP_LONG = 5.0  # seconds in which a stopping worker still reads the rest of long requests
ACCEPTED_AT_ONCE = 64  # connections that are accepted before the others get their turn
CLOSED_AT_ONCE = 16  # connections, when files run out: what serves a request may need some too
WARNING_PAUSE = 60.0  # seconds between two lines that say that no more connections can be opened

_SERVED = {State.BUSY, State.LONG}
_LONG = {Kind.LONG, Kind.EXPORT}
_OUT_OF_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class InboxWorker(HoldingWorker):
    """gunicorn's threaded worker with connections and rounds of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connections: dict[Connection, None] = {}  # those that wait in the order in which they began to
        self._whole: list[Connection] = []  # whose deliveries have arrived since the last round
        self._long: deque[Connection] = deque()  # those whose long requests wait for a thread
        self._long_slots = max(1, self.cfg.threads // 2)
        self._max_body_bytes = 0
        self._next_inspection = 0.0
        self._next_warning = 0.0
        self._accepts_again = 0.0  # of monotonic
        self._is_hurried = False
        self.signals: SimpleQueue[int] | None = None  # that reach this process before it has handlers of its own

    def run(self) -> None:
        """Serves until the worker is told to stop."""
        intake = self.wsgi.extensions[INTAKE]
        self._rounds = Rounds(self, intake, notify=partial(self.method_queue.defer, self._collect))
        self._rounds.start()
        lookout = self.wsgi.extensions[LOOKOUT]
        self.held_requests = HeldRequests(lookout, partial(self.method_queue.defer, self.serve_again), self.log)
        self._max_body_bytes = intake.max_body_bytes
        if self.signals is not None:
            self._heed_signals(self.signals)
        self.poller.register(self.method_queue.fileno(), selectors.EVENT_READ, self.method_queue.run_callbacks)
        while self.alive and self.is_parent_alive():
            self.set_accept_enabled(monotonic() >= self._accepts_again)
            self._serve_what_arrives()
        self._stop()

    def _heed_signals(self, signals: SimpleQueue[int]) -> None:
        """Heeds the signals that came before this process had handlers of its own, to its parent's."""
        while not signals.empty():
            if signals.get_nowait() in {SIGINT, SIGQUIT, SIGTERM}:
                self.handle_exit(SIGTERM, None)

    def init_signals(self) -> None:
        """Has the worker ignore SIGHUP, which is the arbiter's, though a terminal that closes sends it to all."""
        super().init_signals()
        signal(SIGHUP, SIG_IGN)

    def accept(self, listener: socket) -> None:
        """Accepts connections, to read from them when something has arrived."""
        try:
            for _ in range(ACCEPTED_AT_ONCE):
                sock, client = listener.accept()
                self._make_room()
                connection = Connection(self.cfg, sock, client, listener.getsockname())
                self._connections[connection] = None
                self._watch(connection)
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in _OUT_OF_FILES:
                raise
            self._free_files(error)

    def finish_request(self, conn: Any, fs: "Future[object]") -> None:
        """Takes a connection back from the pool."""
        with suppress(OSError):  # of a connection that is closed, which is seen when it is used
            conn.sock.setblocking(False)
        if conn.state is State.LONG:
            self._long_slots += 1
            self._begin_long()
        if conn.held is None or fs.exception() is not None:
            self._release(conn, keep=fs.exception() is None and bool(fs.result()))
        else:
            self.hold(conn)

    def handle(self, conn: Any) -> object:
        """Serves a connection in a thread of the pool, which no client keeps by standing still."""
        if conn.refusal is not None:
            self._answer(conn.refusal, conn.refusal.name, conn.sock, conn.client)
            return False
        try:
            _end_standstill(conn.sock)
        except OSError as error:  # some systems refuse it on a connection that is closed
            self.log.debug("a client is gone: %s", error)
            return False
        return super().handle(conn)

    def handle_quit(self, _sig: int, _frame: object) -> None:
        """Has the worker stop without waiting for long. It only notes that: a signal may come amid anything."""
        self._is_hurried = True
        self.handle_exit(SIGTERM, None)

    def handle_error(self, _req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answers a request that can't be read, or that failed outside the application, and shows nothing of it."""
        status = status_of(exc)
        if status is HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log.error("a request failed", exc_info=exc)
        self._answer(status, type(exc).__name__, client, addr)

    def _answer(self, status: HTTPStatus, failure: str, sock: Any, client: Any) -> None:
        with suppress(OSError):
            sock.send(answer_unreadable(self.wsgi, status, failure, client[0] if client else ""))

    def is_parent_alive(self) -> bool:
        """Tells whether the arbiter is there; if not, the worker stops."""
        if super().is_parent_alive():
            return True
        self.handle_exit(SIGTERM, None)
        return False

    def should_close_after_request(self) -> bool:
        """Counts a request; tells whether its answer ends the connection."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive: bool = False
        return not self.alive or not self.cfg.keepalive

    def _serve_what_arrives(self, timeout: float = INSPECTION) -> None:
        self.wait_for_and_dispatch_events(0 if self._whole else timeout)
        if self._whole:
            whole, self._whole = self._whole, []
            self._finish(self._rounds.submit(whole))
        if monotonic() >= self._next_inspection:
            self._inspect()

    def _on_readable(self, connection: Connection, _sock: socket) -> None:
        if connection.state is State.CLOSED:
            return
        if connection.state is State.HELD and connection.is_abandoned():
            self._close(connection)
            return
        if connection.state in _SERVED or connection.state is State.HELD:
            self._unwatch(connection)  # until its answer is sent
            return
        try:
            is_open = connection.receive()
        except OSError:
            self._close(connection)
            return
        is_served = connection.state is State.READING and self._dispatch(connection, is_all=not is_open)
        if not is_open and not is_served:
            self._close(connection)

    def _dispatch(self, connection: Connection, *, is_all: bool = False) -> bool:
        """Has the request served that has arrived; False if more of it is awaited, which with ``is_all`` won't come."""
        kind = connection.kind()
        if kind is Kind.INCOMPLETE and not (is_all and connection.arrived):
            return False
        if kind in _LONG:
            self._unwatch(connection)
            connection.queue()
            self._long.append(connection)
            self._begin_long()
            return True
        connection.begin()
        if kind is Kind.DELIVERY:
            self._whole.append(connection)
        else:
            self._unwatch(connection)
            self.enqueue_req(connection)
        return True

    def _begin_long(self) -> None:
        """Has half of the pool at most serve long requests, so that clients who send or take slowly leave the rest."""
        while self._long and self._long_slots:
            connection = self._long.popleft()
            if connection.state is State.QUEUED:
                self._long_slots -= 1
                connection.begin_long(self._max_body_bytes)
                self.enqueue_req(connection)

    def _collect(self) -> None:
        self._finish(self._rounds.answered())

    def _finish(self, answered: Answered) -> None:
        for connection, can_be_kept in answered:
            self._release(connection, keep=can_be_kept)

    def _release(self, connection: Connection, *, keep: bool) -> None:
        """Waits for the next request on a connection that was served, or for its client to close it."""
        try:
            if keep:
                self._connections.pop(connection, None)
                connection.resume()
                self._connections[connection] = None
                if not self.alive:  # since its answer was begun, which therefore did not end the connection
                    connection.deadline = monotonic() + STOP_LINGER
            else:
                connection.linger()
        except OSError:
            self._close(connection)
            return
        self._watch(connection)
        if keep:
            self._dispatch(connection)

    def _watch(self, connection: Connection) -> None:
        if not connection.is_watched:
            self.poller.register(connection.sock, selectors.EVENT_READ, partial(self._on_readable, connection))
            connection.is_watched = True

    def _unwatch(self, connection: Connection) -> None:
        if connection.is_watched:
            self.poller.unregister(connection.sock)
            connection.is_watched = False

    def _close(self, connection: Connection) -> None:
        self._unwatch(connection)
        self._connections.pop(connection, None)
        if connection.held and self.held_requests:
            self.held_requests.discard(connection)
        connection.close()

    def _make_room(self) -> None:
        """Closes the connection that has waited longest when there is no room for another; pauses when none waits."""
        if len(self._connections) >= self.worker_connections and not self._close_longest_waiting():
            self._accepts_again = monotonic() + INSPECTION

    def _close_longest_waiting(self) -> bool:
        """Closes one connection: the first that has sent no whole request in its time, or else the first that waits."""
        waiting = [one for one in self._connections if one.state not in _SERVED]
        first = next(iter(waiting), None)
        in_time = monotonic() - TIME_TO_SPEAK
        longest = next((one for one in waiting if not one.has_been_used and one.waits_since < in_time), first)
        if longest is None:
            return False
        self._close(longest)
        return True

    def _free_files(self, error: OSError) -> None:
        """Closes connections that wait, as no more files can be opened; without any, accepting pauses."""
        now = monotonic()
        closed = [self._close_longest_waiting() for _ in range(CLOSED_AT_ONCE)]
        if not any(closed):
            self._accepts_again = now + INSPECTION
        if now >= self._next_warning:
            self._next_warning = now + WARNING_PAUSE
            self.log.warning("no more connections can be opened: %s", error)

    def _inspect(self) -> None:
        """Shows the arbiter that the worker lives, and closes the connections whose time is up."""
        self.notify()
        now = monotonic()
        for connection in tuple(self._connections):
            if connection.deadline > now or connection.state is State.BUSY:
                continue
            if connection.state is State.LONG:
                with suppress(OSError):
                    connection.end_request()
            elif connection.state is State.QUEUED or connection.arrived:
                self._refuse(connection)
            else:
                self._close(connection)
        self._next_inspection = now + INSPECTION

    def _refuse(self, connection: Connection) -> None:
        """Has a request answered whose time is up, by the pool: its client was too slow, unless the server was."""
        is_late = connection.state is State.READING and self.alive
        self._unwatch(connection)
        connection.refuse(HTTPStatus.REQUEST_TIMEOUT if is_late else HTTPStatus.SERVICE_UNAVAILABLE)
        self.enqueue_req(connection)

    def _stop(self) -> None:
        """Answers what is under way, and closes everything else."""
        self._accept_what_is_queued()
        self.set_accept_enabled(False)
        for listener in self.sockets:
            listener.close()  # or else the kernel goes on accepting what nobody will serve
        if self.held_requests:
            self.serve_again(self.held_requests.take_all())
        now = monotonic()
        for connection in tuple(self._connections):
            if connection.state is State.READING:
                # A client that has just come, or was just answered, may be sending a request already.
                is_known = connection.has_been_used or connection.arrived
                linger = STOP_LONG if connection.arrived.length() else STOP_LINGER
                connection.deadline = linger + (now if is_known else connection.waits_since)
            elif connection.state in {State.LONG, State.QUEUED}:
                connection.deadline = min(connection.deadline, now + STOP_LONG)
        while self._connections and monotonic() < now + self._patience():
            self._next_inspection = 0
            self._serve_what_arrives(timeout=0.1)
        self.wsgi.extensions[INTAKE].counting.stop()
        self.log.info("Worker exiting (pid: %s)", self.pid)
        # An orderly end would wait for the threads of the pool, which may wait for clients or for the database.
        os._exit(0)

    def _patience(self) -> float:
        """Returns how many seconds a stopping worker gives to what is under way."""
        # The arbiter kills what is left after graceful_timeout.
        return STOP_LINGER if self._is_hurried else max(STOP_LINGER, self.cfg.graceful_timeout - 2.0)

    def _accept_what_is_queued(self) -> None:
        """Accepts the connections that the kernel has queued, which closing the listener would reset."""
        for listener in self.sockets:
            before = -1
            while before < len(self._connections) < self.worker_connections and monotonic() >= self._accepts_again:
                before = len(self._connections)
                self.accept(listener)


def _end_standstill(sock: socket) -> None:
    """Has the kernel end the wait for a client that neither sends nor takes anything; gunicorn's pool would go on."""
    seconds, fraction = divmod(MAX_STANDSTILL, 1)
    limit = struct.pack("@ll", int(seconds), int(fraction * 1_000_000))  # a timeval: socket(7)
    sock.setsockopt(SOL_SOCKET, SO_RCVTIMEO, limit)
    sock.setsockopt(SOL_SOCKET, SO_SNDTIMEO, limit)
