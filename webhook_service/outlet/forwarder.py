"""The forwarder: it looks at the feed, takes stretches of it for each destination, and records what came of them.

One thread does all the work on the database, in turns. A turn is one transaction: it records all that the threads of
the destinations have done since the last turn, and takes what comes next. So what a forwarder costs the writers of
messages grows neither with the number of messages nor with that of destinations.
"""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event

from webhook_service.domain.consumers import Consumer, ConsumerKind, ConsumerOptions
from webhook_service.domain.destinations import Destination, DestinationState, Standing
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.domain.limits import ATTEMPTS_MAX, LEASES_MAX
from webhook_service.outlet.books import Books
from webhook_service.outlet.consumers import Consumers
from webhook_service.outlet.desk import AHEAD, RENEWED_AFTER, Desk, Taken
from webhook_service.outlet.leases import Locked, pass_over
from webhook_service.outlet.outlook import look
from webhook_service.storage.database import Database
from webhook_service.storage.queries.consumers import find_consumer, list_consumers, read_now
from webhook_service.storage.queries.destinations import read_standings
from webhook_service.storage.queries.messages import newest_for_programs
from webhook_service.storage.queries.retries import has_due
from webhook_service.storage.writing import Transaction

TURN = 0.02  # seconds between two turns
SHARE = 4  # with much to push, the pause after a turn is this many times its length, as turns hold up pushes
LONGEST_SHARE = 0.25  # seconds of such a pause at most
CLOSER_LOOK = 0.5  # seconds between two looks for what no new message announces: due retries, expired leases
NOTICES_STOP = 0.1  # seconds until a pause is cut short by a stop
FIRST_PAUSE, LONGEST_PAUSE = 0.3, 2.0  # seconds between two turns while the database is away
LEASE_SECONDS = 30.0
STOP_PATIENCE = 5.0  # seconds to record what was under way, on top of the time that a push may take

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """All destinations as a snapshot shows them: the newest id of the feed, and each one's place and standing."""

    snapshot: Transaction
    newest: int
    now: datetime
    consumers: Mapping[str, Consumer]
    standings: Mapping[str, Standing]

    @classmethod
    def read(cls, snapshot: Transaction) -> "View":
        """Reads the view."""
        return cls(
            snapshot,
            newest_for_programs(snapshot),
            read_now(snapshot),
            {consumer.name: consumer for consumer in list_consumers(snapshot, ConsumerKind.DESTINATION)},
            read_standings(snapshot),
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan for a destination: whether to take something, and the id up to which nothing passes its filter.

    ``orphans`` are senders to wake, since the message that theirs wait for is gone.
    """

    desk: Desk
    takes: bool
    passed_over: int | None = None
    orphans: Sequence[str] = ()


@dataclass(eq=False, slots=True)
class Forwarder:
    """Pushes the messages of the feed to destinations, beside any number of other forwarders.

    ``lease_seconds`` is the time after which the others take over from a forwarder that died.
    """

    database: Database
    destinations: Sequence[Destination]
    lease_seconds: float = LEASE_SECONDS
    _desks: list[Desk] = field(init=False)
    _asked_for_record: Event = field(init=False, default_factory=Event)
    _looked: float = 0.0
    _ends: float | None = None

    def __post_init__(self) -> None:
        by_name = sorted(self.destinations, key=lambda destination: destination.name)
        self._desks = [Desk(destination, self.lease_seconds, self._asked_for_record.set) for destination in by_name]

    def declare(self) -> list[str]:
        """Gives each new destination its place in the feed; returns the names of those that are no longer declared."""
        consumers = Consumers(self.database, ConsumerKind.DESTINATION)
        for destination in self.destinations:
            options = ConsumerOptions(destination.filter, max_leases=LEASES_MAX, max_attempts=ATTEMPTS_MAX)
            consumers.put(destination.name, options, destination.start)
        with self.database.primary_snapshot() as snapshot:
            known = [consumer.name for consumer in list_consumers(snapshot, ConsumerKind.DESTINATION)]
        return sorted(set(known) - {destination.name for destination in self.destinations})

    def run(self, stop: Event) -> None:
        """Pushes until ``stop`` is set, and then finishes and records what is under way, as far as its time allows."""
        pause = TURN
        try:
            while not self._is_over():
                if stop.is_set() and self._ends is None:
                    self._begin_to_stop()
                pause = self._turn_or_pause(pause)
                self._record_until(time.monotonic() + pause, stop)
        finally:
            for desk in self._desks:
                desk.lanes.stop()
                desk.sender.close()

    def record(self) -> None:
        """Records what was done since the last turn, which takes less time than a turn."""
        for desk in self._desks:
            desk.collect()
        plans = [Plan(desk, takes=False) for desk in self._desks if desk.outcomes]
        if plans:
            self._write(plans)

    def turn(self) -> None:
        """Records what was done since the last turn, and takes what comes next."""
        for desk in self._desks:
            desk.collect()
        with self.database.primary_snapshot() as snapshot:
            plans = self._plan(View.read(snapshot))
        taken = self._write(plans) if plans else {}
        desks = [desk for desk in self._desks if desk.pending or desk.name in taken]
        if not desks:
            return
        with self.database.primary_snapshot() as snapshot:
            for desk in desks:
                consumer = find_consumer(snapshot, ConsumerKind.DESTINATION, desk.name)
                if consumer is not None:
                    desk.receive(snapshot, consumer, taken.get(desk.name, Taken()))
                    desk.admit(snapshot, consumer)

    def _turn_or_pause(self, pause: float) -> float:
        """Takes a turn and returns the seconds until the next, which grow while the database is away."""
        began = time.monotonic()
        try:
            self.turn()
        except StorageUnavailable as unavailable:
            if pause < FIRST_PAUSE:
                _log.warning("pushes go on once the database is back: %s", unavailable.failure)
            return min(LONGEST_PAUSE, max(pause * 2, FIRST_PAUSE))
        if any(desk.room < AHEAD // 2 for desk in self._desks):
            return min(LONGEST_SHARE, max(TURN, SHARE * (time.monotonic() - began)))
        return TURN

    def _record_until(self, moment: float, stop: Event) -> None:
        """Records whenever many pushes wait for that, until a time or, if it has not begun to stop yet, until it does.

        While the database is away, nothing is recorded, and soon nothing is pushed.
        """
        while (left := moment - time.monotonic()) > 0 and not (stop.is_set() and self._ends is None):
            if not self._asked_for_record.wait(min(left, NOTICES_STOP)):
                continue
            self._asked_for_record.clear()
            try:
                self.record()
            except StorageUnavailable:
                stop.wait(max(0.0, moment - time.monotonic()))

    def _begin_to_stop(self) -> None:
        longest = max((destination.target.timeouts.total for destination in self.destinations), default=0.0)
        self._ends = time.monotonic() + longest + STOP_PATIENCE
        for desk in self._desks:
            desk.give_back()

    def _is_over(self) -> bool:
        if self._ends is None:
            return False
        return time.monotonic() > self._ends or all(desk.is_empty for desk in self._desks)

    def _plan(self, view: View) -> list[Plan]:
        """Finds out for which destinations there is something to write or to take."""
        looks_closer = time.monotonic() - self._looked >= CLOSER_LOOK
        if looks_closer:
            self._looked = time.monotonic()
        plans = []
        for desk in self._desks:
            consumer = view.consumers.get(desk.name)
            if consumer is None:
                desk.drop()
                continue
            standing = view.standings.get(desk.name, Standing())
            desk.heed(standing, view.now)
            plan = Plan(desk, takes=False) if self._ends else _plan_to_take(view, desk, consumer, looks_closer)
            if plan.takes or plan.passed_over or plan.orphans or desk.outcomes or _has_to_renew(desk):
                plans.append(plan)
        return plans

    def _write(self, plans: Iterable[Plan]) -> dict[str, Taken]:
        """Keeps the books of destinations, in one transaction and in the order of their names, as all forwarders do."""
        taken: dict[str, Taken] = {}
        kept: list[Books] = []
        with self.database.keeping() as transaction:
            for plan in plans:
                consumer = find_consumer(transaction, ConsumerKind.DESTINATION, plan.desk.name, lock=True)
                if consumer is None:
                    continue
                locked = Locked(transaction, consumer, read_now(transaction))
                if plan.passed_over is not None and consumer.handed < plan.passed_over:
                    locked = pass_over(locked, plan.passed_over)
                books = Books.open(locked, plan.desk)
                given = books.keep(takes=plan.takes, orphans=plan.orphans)
                kept.append(books)
                if given.stretch is not None or given.retries:
                    taken[plan.desk.name] = given
        for books in kept:  # now that the transaction is committed
            books.desk.forget_recorded()
            books.desk.heed(books.standing, books.locked.now)
        return taken


def _plan_to_take(view: View, desk: Desk, consumer: Consumer, looks_closer: bool) -> Plan:
    standing = view.standings.get(desk.name, Standing())
    if standing.state is DestinationState.DISABLED or standing.is_held(view.now):
        return Plan(desk, takes=False)
    orphans = desk.find_orphans(view.snapshot, consumer) if looks_closer else ()
    may_take = desk.room > 0 or (desk.pending and looks_closer)
    if not may_take:
        return Plan(desk, takes=False, orphans=orphans)
    if desk.outcomes:
        # There is something to write anyway, and other messages may be waiting for that.
        return Plan(desk, takes=True, orphans=orphans)
    if view.newest <= consumer.handed and not looks_closer:
        return Plan(desk, takes=False)
    outlook = look(view.snapshot, consumer, view.now)
    latest = view.now + desk.destination.retries.waits_at_most
    takes = outlook.is_worth_a_try or bool(orphans) or has_due(view.snapshot, consumer.id, view.now, latest)
    is_probe = standing.state is DestinationState.PAUSED
    return Plan(desk, takes or is_probe, outlook.passed_over, orphans)


def _has_to_renew(desk: Desk) -> bool:
    now = time.monotonic()
    return any(
        not held.left or now - held.extended >= desk.lease_seconds * RENEWED_AFTER for held in desk.held.values()
    )
