"""A threaded gunicorn worker that waits for no client, and takes in deliveries in rounds.

Its main thread owns the sockets: it accepts, reads what has arrived, and closes, and none of that ever blocks. A whole
delivery goes to the thread of the rounds, any other request to gunicorn's pool once it is whole, or too large to wait
for. Over TLS, where the bytes are encrypted, ``server.py`` has gunicorn's own threaded worker serve instead.
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
from webhook_service.outlet.wait_checker import WAIT_CHECKER
from webhook_service.serving.connection import STOP_LINGER, Connection, State
from webhook_service.serving.fixed_config import FixedConfig
from webhook_service.serving.framing import Kind
from webhook_service.serving.refusals import status_of
from webhook_service.serving.rounds import Answered, Rounds
from webhook_service.serving.waiting import HeldRequests, HoldingWorker
from webhook_service.web.malformed_requests import answer_malformed

# Seconds that a thread of the pool waits for a client to send or to receive something; nginx has the same limit.
MAX_STANDSTILL = 60.0
INSPECTION = 1.0  # seconds between two looks for connections whose time is up, and between two heartbeats
TIME_TO_SPEAK = 1.0  # seconds for which a new connection is not closed to make room for another
ACCEPTED_AT_ONCE = 64  # connections that are accepted before those that are open get their turn
CLOSED_AT_ONCE = 16  # connections, when files run out: serving a request may need some files, too
WARNING_PAUSE = 60.0  # seconds between two log lines that say that no more connections can be opened

_SERVED = (State.BUSY, State.LONG)
_LONG = (Kind.LONG, Kind.EXPORT)
_OUT_OF_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class InboxWorker(HoldingWorker):
    """gunicorn's threaded worker with connections and rounds of its own."""

    cfg: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connections: dict[Connection, None] = {}  # those that wait are in the order in which they began to
        self._whole: list[Connection] = []  # those whose deliveries have arrived since the last round
        self._long: deque[Connection] = deque()  # those whose long requests wait for a thread
        self._long_slots = max(1, self.cfg.threads // 2)
        self._max_body_bytes = 0
        self._next_inspection = 0.0
        self._next_warning = 0.0
        self._accepts_again = 0.0  # a time of monotonic
        self._is_hurried = False
        self.signals: SimpleQueue[int] | None = None  # those that arrive before this process has its own handlers

    def run(self) -> None:
        """Serves until the worker is told to stop."""
        self.cfg = FixedConfig(self.cfg)
        intake = self.wsgi.extensions[INTAKE]
        self._rounds = Rounds(self, intake, notify=partial(self.method_queue.defer, self._collect))
        self._rounds.start()
        wait_checker = self.wsgi.extensions[WAIT_CHECKER]
        self.held_requests = HeldRequests(wait_checker, partial(self.method_queue.defer, self.serve_again), self.log)
        self._max_body_bytes = intake.max_body_bytes
        if self.signals is not None:
            self._heed_signals(self.signals)
        self.poller.register(self.method_queue.fileno(), selectors.EVENT_READ, self.method_queue.run_callbacks)
        while self.alive and self.is_parent_alive():
            self.set_accept_enabled(monotonic() >= self._accepts_again)
            self._serve_what_arrives()
        self._stop()

    def _heed_signals(self, signals: SimpleQueue[int]) -> None:
        """Heeds the signals that arrived, at the handlers of the parent, before this process had its own."""
        while not signals.empty():
            if signals.get_nowait() in {SIGINT, SIGQUIT, SIGTERM}:
                self.handle_exit(SIGTERM, None)

    def init_signals(self) -> None:
        """Makes the worker ignore SIGHUP: it is meant for the arbiter, but a closing terminal sends it to all."""
        super().init_signals()
        signal(SIGHUP, SIG_IGN)

    def accept(self, listener: socket) -> None:
        """Accepts connections, and watches them for what arrives."""
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
        with suppress(OSError):  # it may be closed, which is noticed when it is used
            conn.sock.setblocking(False)
        if conn.state is State.LONG:
            self._long_slots += 1
            self._begin_long()
        if conn.held is None or fs.exception() is not None:
            self._resume_or_linger(conn, keep=fs.exception() is None and bool(fs.result()))
        else:
            self.hold(conn)

    def handle(self, conn: Any) -> object:
        """Serves a connection in a thread of the pool, which a client that stands still can't keep."""
        if conn.refusal is not None:
            self._answer(conn.refusal, conn.refusal.name, conn.sock, conn.client)
            return False
        try:
            _end_standstill(conn.sock)
        except OSError as error:  # some systems refuse this on a closed connection
            self.log.debug("a client is gone: %s", error)
            return False
        return super().handle(conn)

    def handle_quit(self, _sig: int, _frame: object) -> None:
        """Makes the worker stop without waiting for long; only sets flags, since a signal may come amid anything."""
        self._is_hurried = True
        self.handle_exit(SIGTERM, None)

    def handle_error(self, _req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answers a request that can't be read, or that failed outside the application, without showing any of it."""
        status = status_of(exc)
        if status is HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log.error("a request failed", exc_info=exc)
        self._answer(status, type(exc).__name__, client, addr)

    def _answer(self, status: HTTPStatus, cause: str, sock: Any, client: Any) -> None:
        with suppress(OSError):
            sock.send(answer_malformed(self.wsgi, status, cause, client[0] if client else ""))

    def is_parent_alive(self) -> bool:
        """Tells whether the arbiter is alive; if not, makes the worker stop."""
        if super().is_parent_alive():
            return True
        self.handle_exit(SIGTERM, None)
        return False

    def count_request(self) -> bool:
        """Counts a request; tells whether the connection is to be closed after its answer."""
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
        """Has an arrived request served; False if it is incomplete. With ``is_all`` no more of it will come."""
        kind = connection.kind()
        if kind is Kind.INCOMPLETE and not (is_all and connection.buffer):
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
        """Serves long requests with at most half of the pool, so that slow clients leave the other half to the rest."""
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
            self._resume_or_linger(connection, keep=can_be_kept)

    def _resume_or_linger(self, connection: Connection, *, keep: bool) -> None:
        """Has a served connection wait for its next request or, unless ``keep``, for its client to close it."""
        try:
            if keep:
                self._connections.pop(connection, None)
                connection.resume()
                self._connections[connection] = None
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
        """Closes the longest-waiting connection when there is no room for another; if none waits, accepting pauses."""
        if len(self._connections) >= self.worker_connections and not self._close_longest_waiting():
            self._accepts_again = monotonic() + INSPECTION

    def _close_longest_waiting(self) -> bool:
        """Closes one connection: the first that has sent no whole request in time, or else the one waiting longest."""
        waiting = [one for one in self._connections if one.state not in _SERVED]
        first = next(iter(waiting), None)
        in_time = monotonic() - TIME_TO_SPEAK
        longest = next((one for one in waiting if not one.has_been_used and one.waits_since < in_time), first)
        if longest is None:
            return False
        self._close(longest)
        return True

    def _free_files(self, error: OSError) -> None:
        """Closes waiting connections, since no more files can be opened; if none waits, accepting pauses."""
        now = monotonic()
        closed = [self._close_longest_waiting() for _ in range(CLOSED_AT_ONCE)]
        if not any(closed):
            self._accepts_again = now + INSPECTION
        if now >= self._next_warning:
            self._next_warning = now + WARNING_PAUSE
            self.log.warning("no more connections can be opened: %s", error)

    def _inspect(self) -> None:
        """Shows the arbiter that the worker is alive, and deals with the connections whose time is up."""
        self.notify()
        now = monotonic()
        for connection in tuple(self._connections):
            if connection.deadline > now or connection.state is State.BUSY:
                continue
            if connection.state is State.LONG:
                with suppress(OSError):
                    connection.end_request()
            elif connection.state is State.QUEUED or connection.buffer:
                self._refuse(connection)
            else:
                self._close(connection)
        self._next_inspection = now + INSPECTION

    def _refuse(self, connection: Connection) -> None:
        """Has the pool refuse a request whose time is up: 408 if the client was too slow, 503 if the server was."""
        is_late = connection.state is State.READING and self.alive
        self._unwatch(connection)
        connection.refuse(HTTPStatus.REQUEST_TIMEOUT if is_late else HTTPStatus.SERVICE_UNAVAILABLE)
        self.enqueue_req(connection)

    def _stop(self) -> None:
        """Answers the requests that are under way, closes everything else, and ends the process."""
        self._accept_what_is_queued()
        self.set_accept_enabled(False)
        for listener in self.sockets:
            listener.close()  # otherwise the kernel goes on accepting what nobody will serve
        if self.held_requests:
            self.serve_again(self.held_requests.take_all())
        for connection in self._connections:
            connection.end()
        ends_at = monotonic() + self._patience()
        while self._connections and monotonic() < ends_at:
            self._next_inspection = 0
            self._serve_what_arrives(timeout=0.1)
        self.wsgi.extensions[INTAKE].activity.stop()
        self.log.info("Worker exiting (pid: %s)", self.pid)
        # An orderly end would wait for the threads of the pool, which may wait for clients or for the database.
        os._exit(0)

    def _patience(self) -> float:
        """Returns the seconds that a stopping worker gives to what is under way."""
        # The arbiter kills what is left after graceful_timeout.
        return STOP_LINGER if self._is_hurried else max(STOP_LINGER, self.cfg.graceful_timeout - 2.0)

    def _accept_what_is_queued(self) -> None:
        """Accepts the connections that the kernel has queued, since closing the listener would reset them."""
        for listener in self.sockets:
            before = -1
            while before < len(self._connections) < self.worker_connections and monotonic() >= self._accepts_again:
                before = len(self._connections)
                self.accept(listener)


def _end_standstill(sock: socket) -> None:
    """Has the kernel end the wait for a client that neither sends nor receives; gunicorn's pool sets no limit."""
    seconds, fraction = divmod(MAX_STANDSTILL, 1)
    limit = struct.pack("@ll", int(seconds), int(fraction * 1_000_000))  # a timeval: socket(7)
    sock.setsockopt(SOL_SOCKET, SO_RCVTIMEO, limit)
    sock.setsockopt(SOL_SOCKET, SO_SNDTIMEO, limit)
