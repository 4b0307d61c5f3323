"""A threaded gunicorn worker that waits for no client, and takes deliveries in by the round.

Its main thread owns the sockets: it accepts, reads what has arrived, and closes, and none of that ever blocks. A whole
delivery goes to the thread of the rounds, any other request to gunicorn's pool once it is whole, or too large to wait
for. Over TLS, where bytes are not what they seem, it is gunicorn's own threaded worker, and the view takes deliveries
in one at a time.
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
from signal import SIGINT, SIGQUIT, SIGTERM
from socket import SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET, socket
from time import monotonic
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]  # gunicorn has no types

from webhook_service.intake.take_in import INTAKE
from webhook_service.serving.connection import Connection, State
from webhook_service.serving.framing import Kind
from webhook_service.serving.refusals import status_of
from webhook_service.serving.rounds import Answered, Rounds
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
_OUT_OF_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class InboxWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's threaded worker with connections and rounds of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connections: dict[Connection, None] = {}  # those that wait in the order in which they began to
        self._whole: list[Connection] = []  # whose deliveries have arrived since the last round
        self._long: deque[Connection] = deque()  # those whose long requests wait for a thread
        self._long_slots = max(1, self.cfg.threads // 2)
        self._max_body_bytes = 0
        self._intake: Any = None
        self._rounds: Rounds | None = None
        self._next_inspection = 0.0
        self._next_warning = 0.0
        self._accepts_again = 0.0  # of monotonic
        self._is_hurried = False
        self.signals: SimpleQueue[int] | None = None  # that reach this process before it has handlers of its own

    def run(self) -> None:
        """Serves until the worker is told to stop."""
        intake = getattr(self.wsgi, "extensions", {}).get(INTAKE)
        if self.cfg.is_ssl or intake is None:
            super().run()
            return
        self._intake = intake
        self._rounds = Rounds(self, intake, notify=partial(self.method_queue.defer, self._collect))
        self._rounds.start()
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

    def accept(self, listener: socket) -> None:
        """Accepts connections, to read from them when something has arrived."""
        if self._rounds is None:
            super().accept(listener)
            return
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
        if self._rounds is None:
            super().finish_request(conn, fs)
        else:
            with suppress(OSError):  # of a connection that is closed, which is seen when it is used
                conn.sock.setblocking(False)
            if conn.state is State.LONG:
                self._long_slots += 1
                self._begin_long()
            self._release(conn, keep=fs.exception() is None and bool(fs.result()))

    def handle(self, conn: Any) -> object:
        """Serves a connection in a thread of the pool, which no client keeps by standing still."""
        try:
            _end_standstill(conn.sock)
        except OSError as error:  # some systems refuse it on a connection that is closed
            self.log.debug("a client is gone: %s", error)
            return False
        return super().handle(conn)

    def handle_quit(self, _sig: int, _frame: object) -> None:
        """Has the worker stop without waiting for long. It only notes that: a signal may come amid anything."""
        if self._rounds is None:
            super().handle_quit(_sig, _frame)
        self._is_hurried = True
        self.handle_exit(SIGTERM, None)

    def handle_error(self, _req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answers a request that can't be read, or that failed outside the application, and shows nothing of it."""
        status = status_of(exc)
        if status is HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log.error("a request failed", exc_info=exc)
        with suppress(OSError):
            client.send(answer_unreadable(self.wsgi, status, type(exc).__name__, addr[0] if addr else ""))

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
        if self._whole and self._rounds:
            whole, self._whole = self._whole, []
            self._finish(self._rounds.submit(whole))
        if monotonic() >= self._next_inspection:
            self._inspect()

    def _on_readable(self, connection: Connection, _sock: socket) -> None:
        if connection.state is State.CLOSED:
            return
        if connection.state in _SERVED:
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
        if kind is Kind.LONG:
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
        """Has long requests served by half of the pool at most, so that slow clients leave the rest to others."""
        while self._long and self._long_slots:
            connection = self._long.popleft()
            if connection.state is State.QUEUED:
                self._long_slots -= 1
                connection.begin_long(self._max_body_bytes)
                self.enqueue_req(connection)

    def _collect(self) -> None:
        if self._rounds:
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
            else:
                self._close(connection)
        self._next_inspection = now + INSPECTION

    def _stop(self) -> None:
        """Answers what is under way, and closes everything else."""
        self._accept_what_is_queued()
        self.set_accept_enabled(False)
        for listener in self.sockets:
            listener.close()  # or else the kernel goes on accepting what nobody will serve
        now = monotonic()
        for connection in tuple(self._connections):
            if connection.state is State.READING:
                connection.deadline = now + (STOP_LINGER if connection.has_been_used or connection.arrived else 0)
            elif connection.state in {State.LONG, State.QUEUED}:
                connection.deadline = min(connection.deadline, now + STOP_LONG)
        while self._connections and monotonic() < now + self._patience():
            self._next_inspection = 0
            self._serve_what_arrives(timeout=0.1)
        self._intake.counting.stop()
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
