"""Requests whose answers are held back: each costs a worker a connection, but no thread.

One thread of the worker notices when something is stored, and finds out whose conditions that meets. The thread that
owns the sockets then has those requests served again.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import islice
from threading import Condition, Thread
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]  # gunicorn has no types

from webhook_service.domain.errors import StorageUnavailable
from webhook_service.outlet.wait_checker import AfterMessage, ForConsumer, WaitChecker, WaitCondition
from webhook_service.outlet.waiting import HeldBack, Hold, let_hold_back
from webhook_service.serving.connection import Connection, State

TICK = 0.05  # seconds between two looks for requests whose time is up
# Seconds between two looks for messages, however much is stored: so the cost of waiting requests is bounded.
SHORTEST_LOOK = 0.05
LONGEST_LOOK = 0.5  # seconds; needed since nothing announces that a lease has expired
WAVE = 48  # requests that are served again at a time, so that other requests get their turn in between
IDLE = 60.0  # seconds for which the connection to the database is kept while nobody waits
# Seconds between two reads of its announcements meanwhile. After some 300 unread ones PostgreSQL waits for the
# listener, and whoever makes or drops a database on that server waits with it.
IDLE_READ = 0.1
RETRY = 0.5  # seconds after which the database is tried again


@dataclass(slots=True)
class HeldRequest:
    """A request whose answer depends on a condition, which is not looked at until ``not_before``.

    It is answered anyway at ``until``; both are times of ``monotonic``.
    """

    request: Any
    condition: WaitCondition
    until: float
    not_before: float


class HeldRequests:
    """The connections whose answers are held back; those that are to be served again are passed to ``serve_again``."""

    def __init__(self, wait_checker: WaitChecker, serve_again: Callable[[list[Connection]], None], log: Any) -> None:
        self._wait_checker = wait_checker
        self._serve_again = serve_again
        self._log = log
        # By condition, as many wait for the same one, and a look should cost no more for that.
        self._held: dict[WaitCondition, dict[Connection, HeldRequest]] = {}
        self._not_looked_for: list[HeldRequest] = []  # what came for them may have been noticed before they were held
        self._changed = Condition()
        self._thread: Thread | None = None

    def add(self, connection: Connection, held: HeldRequest) -> None:
        """Holds back an answer."""
        with self._changed:
            self._held.setdefault(held.condition, {})[connection] = held
            self._not_looked_for.append(held)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="wait checker", daemon=True)
                self._thread.start()
            self._changed.notify()

    def discard(self, connection: Connection) -> None:
        """Forgets a connection that is being closed."""
        with self._changed:
            self._remove(connection.held.condition, connection)

    def take_all(self) -> list[Connection]:
        """Returns all connections, to be answered now, whether there is something to say or not."""
        with self._changed:
            taken = {connection: held for group in self._held.values() for connection, held in group.items()}
            for held in taken.values():
                held.until = 0.0
            self._held.clear()
        return list(taken)

    def _remove(self, condition: WaitCondition, connection: Connection) -> None:
        group = self._held.get(condition, {})
        group.pop(connection, None)
        if not group:
            self._held.pop(condition, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._held)
            try:
                self._watch()
            except StorageUnavailable as unavailable:
                # Requests whose time is up are answered by the application, which reports the outage.
                self._log.debug("nobody can wait for messages: %s", unavailable.cause)
                self._serve_met(())
                time.sleep(RETRY)
            except Exception:
                self._log.exception("waiting for messages has failed")
                time.sleep(RETRY)

    def _watch(self) -> None:
        """Releases the requests for which there is something, until nobody has waited for IDLE seconds."""
        next_look, is_next_wave = 0.0, False
        with self._wait_checker.changes() as changes:
            while self._is_needed(changes.wait):
                is_told = changes.wait(TICK) or is_next_wave
                is_told |= self._is_first_look()
                met: set[WaitCondition] = set()
                if is_told or time.monotonic() >= next_look:
                    met = self._wait_checker.find_met(self._conditions())
                    next_look = time.monotonic() + LONGEST_LOOK
                    if not is_told and any(isinstance(condition, AfterMessage) for condition in met):
                        changes.note_missed()
                is_next_wave = self._serve_met(met) > 0  # there may be something for the others as well
                time.sleep(SHORTEST_LOOK)

    def _is_needed(self, read_changes: Callable[[float], bool]) -> bool:
        """Waits until somebody waits, for at most IDLE seconds, in which it goes on reading changes."""
        idle_until = time.monotonic() + IDLE
        while time.monotonic() < idle_until:
            with self._changed:
                if self._changed.wait_for(lambda: self._held, timeout=IDLE_READ):
                    return True
            read_changes(0)  # whoever comes next is looked for anyway
        return False

    def _is_first_look(self) -> bool:
        """Tells whether the next look is the first one for any request."""
        now = time.monotonic()
        with self._changed:
            before = len(self._not_looked_for)
            self._not_looked_for = [held for held in self._not_looked_for if held.not_before > now]
            return len(self._not_looked_for) < before

    def _conditions(self) -> set[WaitCondition]:
        now = time.monotonic()
        with self._changed:
            return {
                condition
                for condition, group in self._held.items()
                if any(held.not_before <= now for held in group.values())
            }

    def _serve_met(self, met: Collection[WaitCondition]) -> int:
        """Serves a wave: those whose condition is met, one for each consumer, and those whose time is up."""
        now = time.monotonic()
        with self._changed:
            late = [
                (condition, connection)
                for condition, group in self._held.items()
                for connection, held in group.items()
                if held.until <= now
            ]
            told = [(condition, connection) for condition in met for connection in self._told(condition, now)]
            wave = list(dict.fromkeys(late + told))[:WAVE]
            for condition, connection in wave:
                self._remove(condition, connection)
        if wave:
            self._serve_again([connection for _, connection in wave])
        return len(wave)

    def _told(self, condition: WaitCondition, now: float) -> list[Connection]:
        """Returns those that are told of a condition: only one for each consumer, as it may take all that there is."""
        group = self._held.get(condition, {})
        rested = (connection for connection, held in group.items() if held.not_before <= now)
        return list(islice(rested, 1 if isinstance(condition, ForConsumer) else WAVE))


class HoldingWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's threaded worker, extended to hold answers back. ``held_requests`` is None until it serves."""

    held_requests: HeldRequests | None = None

    def handle(self, conn: Any) -> object:
        """Serves a connection in a thread of the pool; if its answer was held back, serves the same request again."""
        held: HeldRequest | None = getattr(conn, "held", None)
        if held is None:
            return super().handle(conn)
        try:
            conn.sock.setblocking(True)
            return self._keepalive_after(conn, self.handle_request(held.request, conn))
        except (OSError, StopIteration) as error:
            self.log.debug("a client did not take its answer: %s", error)
        except Exception as error:
            self.handle_error(held.request, conn.sock, conn.client, error)
        return False

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Has the application serve a request; False when the connection can't be kept, or the answer is held back."""
        if self.held_requests is None:
            return bool(super().handle_request(req, conn))
        earlier: HeldRequest | None = conn.held
        conn.held = None
        let_hold_back(Hold(None if earlier is None else earlier.until))
        try:
            return bool(super().handle_request(req, conn))
        except HeldBack as held_back:
            conn.held = HeldRequest(req, held_back.condition, held_back.until, held_back.not_before)
            return False
        finally:
            let_hold_back(None)

    def hold(self, connection: Connection) -> None:
        """Lets a client wait until there is something for it or it leaves; a stopping worker answers it at once."""
        connection.hold()
        self._watch(connection)
        if self.held_requests:
            self.held_requests.add(connection, connection.held)
            if not self.alive:
                self.serve_again(self.held_requests.take_all())

    def serve_again(self, connections: list[Connection]) -> None:
        """Has the requests of connections served again whose answers were held back until now."""
        for connection in connections:
            if connection.state is State.HELD:  # not if it was closed meanwhile
                self._unwatch(connection)
                connection.state = State.BUSY
                self.enqueue_req(connection)
