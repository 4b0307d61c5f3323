"""gunicorn's threaded worker, with one thread more, which takes in together all deliveries that are there.

A delivery spends most of its time waiting for its commit. In a thread of its own it is put to sleep for that and woken,
waits for the interpreter, and finds its core's caches full of another thread's data: all that costs more than to store
it. So one thread of each worker, its *delivery loop*, brings all deliveries that have arrived as far as the commit,
commits them at once, and answers them.

It never waits for a client: it takes a delivery in hand when the whole of it has arrived. What is large, chunked or
something else is served by a thread of gunicorn's pool, as ever. A connection stays with the loop for as long as
nothing but deliveries come on it.
"""

import os
import re
import selectors
import struct
from collections import OrderedDict, deque
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from signal import SIGQUIT, SIGTERM
from socket import AF_UNIX, MSG_DONTWAIT, MSG_PEEK, SO_RCVLOWAT, SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET
from threading import Lock, Thread
from time import monotonic
from types import FrameType

from gunicorn.workers.gthread import _DEFER, PollableMethodQueue, TConn, ThreadWorker  # type: ignore[import-untyped]

from webhook_service.together import Rounds

MAX_DELIVERY = 64 * 1024  # bytes, its head among them: a larger one would keep the others waiting while it is parsed
MAX_ROUND = 128  # deliveries that are taken in together
MAX_WAIT = 1.0  # seconds that the loop waits for a delivery before it looks for connections to close
# Seconds that a thread of the pool waits for a client to send or to take something; nginx has the same for its clients.
MAX_STANDSTILL = 60.0

_IS_DELIVERY = re.compile(rb"POST /webhook[/? ]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)
_NEEDS_CARE = re.compile(rb"\r\n(transfer-encoding|expect)[ \t]*:", re.IGNORECASE)


def missing(arrived: bytes) -> int | None:
    """How many bytes of a delivery are still to come, at least: 0 when it is whole; None for what is not the loop's.

    The length of a body is as RFC 9112, section 6, has it. What is in doubt is not the loop's.
    """
    if not _IS_DELIVERY.match(arrived):
        return None
    end = arrived.find(b"\r\n\r\n") + 4
    if end < 4:
        return 1 if len(arrived) < MAX_DELIVERY else None
    length = _LENGTH.search(arrived, 0, end)
    if length is None or _NEEDS_CARE.search(arrived, 0, end):
        return None
    whole = end + int(length[1])
    return whole - len(arrived) if len(arrived) <= whole <= MAX_DELIVERY else None


def _arrived(connection: TConn) -> bytes | None:
    """What has arrived on a connection and was not read: nothing if it was closed, None if it is still to come."""
    try:
        data: bytes = connection.sock.recv(MAX_DELIVERY, MSG_PEEK | MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError:
        return b""
    return data


def _lacks(connection: TConn, arrived: bytes) -> int | None:
    """How many bytes are missing of the delivery on a connection; None if it is for the pool."""
    lacks = missing(arrived)
    return None if lacks and connection.sock.family == AF_UNIX else lacks  # which knows nothing of SO_RCVLOWAT


def _is_read_ahead(connection: TConn) -> bool:
    """Whether the parser has read more than the request that was served."""
    return connection.parser is not None and bool(connection.parser.unreader.buf.getvalue())


def _end_standstill(connection: TConn) -> None:
    """Has the kernel end the wait for a client that neither sends nor takes anything; gunicorn's pool would go on."""
    seconds, fraction = divmod(MAX_STANDSTILL, 1)
    limit = struct.pack("@ll", int(seconds), int(fraction * 1_000_000))  # a timeval: socket(7)
    connection.sock.setsockopt(SOL_SOCKET, SO_RCVTIMEO, limit)
    connection.sock.setsockopt(SOL_SOCKET, SO_SNDTIMEO, limit)


def _served(result: object) -> Future[object]:
    """What gunicorn's pool would say of a connection that it has served: keep it, close it, or wait for it."""
    served: Future[object] = Future()
    served.set_result(result)
    return served


class InboxWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A gthread worker with a delivery loop; over TLS, where bytes are not what they seem, one without."""

    def init_process(self) -> None:
        """Makes what a process of its own has, and serves until it is told to stop."""
        self._delivery_loop = DeliveryLoop(self)
        super().init_process()

    def run(self) -> None:
        """Serves until the worker is told to stop."""
        self._delivery_loop.start()
        super().run()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins a graceful stop."""
        super().handle_exit(sig, frame)
        self._delivery_loop.wake()

    def is_parent_alive(self) -> bool:
        """Whether the arbiter is there; if not, the worker stops."""
        if super().is_parent_alive():
            return True
        self.handle_exit(SIGTERM, None)
        return False

    def enqueue_req(self, conn: TConn) -> None:
        """Has a connection served on which something has arrived, or waits for that if it is new."""
        if not self.alive or self.cfg.is_ssl or _is_read_ahead(conn):
            super().enqueue_req(conn)
            return
        arrived = _arrived(conn)
        if arrived is None and not conn.initialized and not conn.data_ready:
            self.finish_request(conn, _served(_DEFER))
        elif _lacks(conn, arrived or b"") is None or not self._delivery_loop.add(conn):
            super().enqueue_req(conn)

    def handle(self, conn: TConn) -> object:
        """Serves a connection in a thread of the pool, which no client keeps by standing still."""
        try:
            _end_standstill(conn)
        except OSError as error:  # some systems refuse it on a connection that is closed
            self.log.debug("a client is gone: %s", error)
            return False
        return super().handle(conn)

    def serve_in_pool(self, connection: TConn) -> None:
        """Takes a connection from the loop on which something else than a delivery has arrived."""
        self.method_queue.defer(super().enqueue_req, connection)

    def take_back(self, connection: TConn, *, keep: bool) -> None:
        """Takes a connection from the loop, to wait for what comes next or to close it."""
        self.method_queue.defer(self.finish_request, connection, _served(keep))

    def answer_delivery(self, connection: TConn) -> bool:
        """Answers a delivery that has arrived as a whole; whether the connection can be kept.

        The socket does not block, as the whole loop would. It has room for the answer, unless its client has left a
        thousand of them unread: then it is closed.
        """
        request = None
        try:
            if not connection.initialized:
                connection.init()
                connection.sock.setblocking(False)
            request = next(connection.parser)
            return bool(self.handle_request(request, connection) and connection.parser.finish_body())
        except StopIteration:
            return False
        except OSError as error:
            self.log.debug("a client did not take its answer: %s", error)
            return False
        except Exception as error:
            self.handle_error(request, connection.sock, connection.client, error)
            return False


class DeliveryLoop:
    """The thread that takes in deliveries, and the connections on which it waits for more."""

    def __init__(self, worker: InboxWorker) -> None:
        self._worker = worker
        self._thread = Thread(target=self._run, name="delivery-loop", daemon=True)
        self._selector = selectors.DefaultSelector()
        self._wakings = PollableMethodQueue()
        self._wakings.init()
        self._selector.register(self._wakings.fileno(), selectors.EVENT_READ)
        self._mutex = Lock()
        self._ended = False
        self._new: deque[TConn] = deque()
        # Whose last delivery is longest ago, first; with how many bytes the kernel waits for before it wakes the loop.
        self._waiting: OrderedDict[TConn, int] = OrderedDict()

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Lets the loop look at once what there is to do; safe in a signal handler."""
        self._wakings.defer(lambda: None)

    def add(self, connection: TConn) -> bool:
        """Hands a connection over on which a delivery arrives; False if the loop has ended."""
        with self._mutex:
            if self._ended:
                return False
            self._new.append(connection)
        self.wake()
        return True

    def _run(self) -> None:
        try:
            rounds = Rounds()
            while not self._ends():
                rounds.run(partial(self._answer, connection) for connection in self._next_round())
                self._close_idle()
            for connection in tuple(self._waiting):
                self._give_up(connection)
                self._worker.take_back(connection, keep=True)
        except BaseException:
            # What it was about to answer is lost to it. With the worker gone, clients see that, and send it again.
            self._worker.log.exception("delivery loop failed")
            os.kill(os.getpid(), SIGQUIT)
            raise

    def _ends(self) -> bool:
        with self._mutex:
            self._ended = not self._worker.alive and not self._new
            return self._ended

    def _next_round(self) -> list[TConn]:
        while self._new:
            self._keep(self._new.popleft())
        found: list[TConn] = []
        for key, _ in self._selector.select(MAX_WAIT):
            if key.data is None:
                self._wakings.run_callbacks(key.fileobj)
            elif len(found) < MAX_ROUND and self._has_delivery(key.data):
                found.append(key.data)
        return found

    def _has_delivery(self, connection: TConn) -> bool:
        arrived = _arrived(connection)
        if arrived is None:
            return False
        lacks = _lacks(connection, arrived)
        if not arrived:
            self._give_up(connection)
            self._worker.take_back(connection, keep=False)
        elif lacks is None or len(arrived) < self._waiting[connection]:
            # If the kernel did not wait for all it was told to, the rest will not come, or there is no room for it.
            self._give_up(connection)
            self._worker.serve_in_pool(connection)
        else:
            self._wake_at(connection, len(arrived) + lacks if lacks else 1)
        return lacks == 0

    def _wake_at(self, connection: TConn, number: int) -> None:
        if self._waiting[connection] != number:
            with suppress(OSError):  # some systems refuse it on a connection that is closed, which is seen soon enough
                connection.sock.setsockopt(SOL_SOCKET, SO_RCVLOWAT, number)
            self._waiting[connection] = number

    def _answer(self, connection: TConn) -> None:
        can_be_kept = self._worker.answer_delivery(connection)
        if can_be_kept and not _is_read_ahead(connection):
            connection.set_timeout()
            self._waiting.move_to_end(connection)
        else:
            self._give_up(connection)
            self._worker.take_back(connection, keep=can_be_kept)

    def _keep(self, connection: TConn) -> None:
        connection.set_timeout()
        self._waiting[connection] = 1
        self._selector.register(connection.sock, selectors.EVENT_READ, connection)

    def _close_idle(self) -> None:
        now = monotonic()
        while self._waiting and (longest := next(iter(self._waiting))).timeout < now:
            self._give_up(longest)
            self._worker.take_back(longest, keep=False)

    def _give_up(self, connection: TConn) -> None:
        self._wake_at(connection, 1)
        del self._waiting[connection]
        self._selector.unregister(connection.sock)
