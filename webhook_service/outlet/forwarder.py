"""The forwarder: it looks at the feed, takes stretches of it for each destination, and records what came of them.

One thread does all the work on the database, in cycles. A cycle is one transaction: it records all that the threads of
the destinations have done since the last cycle, and takes what comes next. So what a forwarder costs the writers of
messages grows neither with the number of messages nor with that of destinations.
"""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event

from webhook_service.domain.consumers import Consumer, ConsumerKind, ConsumerOptions
from webhook_service.domain.destinations import Destination, DestinationHealth, DestinationState
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.domain.limits import ATTEMPTS_MAX, LEASES_MAX
from webhook_service.outlet.availability import check_for_messages
from webhook_service.outlet.consumers import Consumers
from webhook_service.outlet.leases import Locked, skip_up_to
from webhook_service.outlet.recording import DestinationTransaction
from webhook_service.outlet.work import AHEAD, RENEWED_AFTER, DestinationWork, Taken
from webhook_service.storage.clock import read_now
from webhook_service.storage.database import Database
from webhook_service.storage.queries.consumers import find_consumer, list_consumers
from webhook_service.storage.queries.destinations import read_all_health
from webhook_service.storage.queries.messages import newest_for_programs
from webhook_service.storage.queries.retries import has_due
from webhook_service.storage.writing import Transaction

PAUSE = 0.02  # seconds between two cycles
SHARE = 4  # with much to push, the pause after a cycle is this many times its length, as cycles hold up pushes
LONGEST_SHARE = 0.25  # seconds of such a pause at most
CLOSER_LOOK = 0.5  # seconds between two looks for what no new message announces: due retries, expired leases
NOTICES_STOP = 0.1  # seconds until a pause is cut short by a stop
FIRST_PAUSE, LONGEST_PAUSE = 0.3, 2.0  # seconds between two cycles while the database is away
LEASE_SECONDS = 30.0
STOP_PATIENCE = 5.0  # seconds to record what was under way, on top of the time that a push may take

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """All destinations as a snapshot shows them: the newest id of the feed, and each one's place and health."""

    snapshot: Transaction
    newest: int
    now: datetime
    consumers: Mapping[str, Consumer]
    health_by_name: Mapping[str, DestinationHealth]

    @classmethod
    def read(cls, snapshot: Transaction) -> "View":
        """Reads the view."""
        return cls(
            snapshot,
            newest_for_programs(snapshot),
            read_now(snapshot),
            {consumer.name: consumer for consumer in list_consumers(snapshot, ConsumerKind.DESTINATION)},
            read_all_health(snapshot),
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan for a destination: whether to take something, and the id up to which nothing passes its filter.

    ``given_up_to`` is the id from which that was looked for. ``orphans`` are senders to wake, since the message that
    theirs wait for is gone.
    """

    work: DestinationWork
    takes: bool
    given_up_to: int = 0
    skipped_up_to: int | None = None
    orphans: Sequence[str] = ()


@dataclass(eq=False, slots=True)
class Forwarder:
    """Pushes the messages of the feed to destinations, beside any number of other forwarders.

    ``lease_seconds`` is the time after which the others take over from a forwarder that died.
    """

    database: Database
    destinations: Sequence[Destination]
    lease_seconds: float = LEASE_SECONDS
    _all_work: list[DestinationWork] = field(init=False)
    _asked_for_record: Event = field(init=False, default_factory=Event)
    _looked: float = 0.0
    _ends: float | None = None

    def __post_init__(self) -> None:
        by_name = sorted(self.destinations, key=lambda destination: destination.name)
        self._all_work = [
            DestinationWork(destination, self.lease_seconds, self._asked_for_record.set) for destination in by_name
        ]

    def register(self) -> list[str]:
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
        pause = PAUSE
        try:
            while not self._is_over():
                if stop.is_set() and self._ends is None:
                    self._begin_to_stop()
                pause = self._cycle_or_pause(pause)
                self._record_until(time.monotonic() + pause, stop)
        finally:
            for work in self._all_work:
                work.threads.stop()
                work.sender.close()

    def record(self) -> None:
        """Records what was done since the last cycle, which takes less time than a cycle."""
        for work in self._all_work:
            work.collect()
        plans = [Plan(work, takes=False) for work in self._all_work if work.results]
        if plans:
            self._write(plans)

    def cycle(self) -> None:
        """Records what was done since the last cycle, and takes what comes next."""
        for work in self._all_work:
            work.collect()
        with self.database.primary_snapshot() as snapshot:
            plans = self._plan(View.read(snapshot))
        taken = self._write(plans) if plans else {}
        busy = [work for work in self._all_work if work.pending or work.name in taken]
        if not busy:
            return
        with self.database.primary_snapshot() as snapshot:
            for work in busy:
                consumer = find_consumer(snapshot, ConsumerKind.DESTINATION, work.name)
                if consumer is not None:
                    work.receive(snapshot, consumer, taken.get(work.name, Taken()))
                    work.start_unblocked(snapshot, consumer)

    def _cycle_or_pause(self, pause: float) -> float:
        """Runs a cycle and returns the seconds until the next, which grow while the database is away."""
        began = time.monotonic()
        try:
            self.cycle()
        except StorageUnavailable as unavailable:
            if pause < FIRST_PAUSE:
                _log.warning("pushes go on once the database is back: %s", unavailable.cause)
            return min(LONGEST_PAUSE, max(pause * 2, FIRST_PAUSE))
        if any(work.room < AHEAD // 2 for work in self._all_work):
            return min(LONGEST_SHARE, max(PAUSE, SHARE * (time.monotonic() - began)))
        return PAUSE

    def _record_until(self, moment: float, stop: Event) -> None:
        """Records whenever many pushes wait for that, until a time or, if it has not begun to stop yet, until it does.

        While the database is away, nothing is recorded, and soon nothing is pushed.
        """
        while (left := moment - time.monotonic()) > 0 and not (stop.is_set() and self._ends is None):
            if not self._asked_for_record.wait(min(left, NOTICES_STOP)):
                continue
            self._asked_for_record.clear()
            began = time.monotonic()
            try:
                self.record()
            except StorageUnavailable:
                stop.wait(max(0.0, moment - time.monotonic()))
            # Deliveries have most of the time: the busier they keep the database, the longer this rests.
            rest = min(LONGEST_SHARE, SHARE * (time.monotonic() - began))
            stop.wait(max(0.0, min(rest, moment - time.monotonic())))

    def _begin_to_stop(self) -> None:
        longest = max((destination.target.timeouts.total for destination in self.destinations), default=0.0)
        self._ends = time.monotonic() + longest + STOP_PATIENCE
        for work in self._all_work:
            work.postpone_unbegun()

    def _is_over(self) -> bool:
        if self._ends is None:
            return False
        return time.monotonic() > self._ends or all(work.is_empty for work in self._all_work)

    def _plan(self, view: View) -> list[Plan]:
        """Finds out for which destinations there is something to write or to take."""
        looks_closer = time.monotonic() - self._looked >= CLOSER_LOOK
        if looks_closer:
            self._looked = time.monotonic()
        plans = []
        for work in self._all_work:
            consumer = view.consumers.get(work.name)
            if consumer is None:
                work.drop()
                continue
            health = view.health_by_name.get(work.name, DestinationHealth())
            work.follow_health(health, view.now)
            plan = Plan(work, takes=False) if self._ends else _plan_to_take(view, work, consumer, looks_closer)
            is_checked = looks_closer and bool(work.retrying)
            if plan.takes or plan.skipped_up_to or plan.orphans or work.results or is_checked or _has_to_renew(work):
                plans.append(plan)
        return plans

    def _write(self, plans: Iterable[Plan]) -> dict[str, Taken]:
        """Records and takes, in one transaction and in the order of the destinations' names, as all forwarders do."""
        taken: dict[str, Taken] = {}
        recordings: list[DestinationTransaction] = []
        with self.database.transaction_without_turn() as transaction:
            for plan in plans:
                consumer = find_consumer(transaction, ConsumerKind.DESTINATION, plan.work.name, lock=True)
                if consumer is None:
                    continue
                locked = Locked(transaction, consumer, read_now(transaction))
                if plan.skipped_up_to is not None and consumer.given_up_to == plan.given_up_to:
                    locked = skip_up_to(locked, plan.skipped_up_to)
                recording = DestinationTransaction.begin(locked, plan.work)
                given = recording.record_and_take(takes=plan.takes, orphans=plan.orphans)
                recordings.append(recording)
                if given.stretch is not None or given.retries:
                    taken[plan.work.name] = given
        for recording in recordings:  # now that the transaction is committed
            recording.work.forget_recorded()
            recording.work.follow_health(recording.health, recording.locked.now)
        return taken


def _plan_to_take(view: View, work: DestinationWork, consumer: Consumer, looks_closer: bool) -> Plan:
    health = view.health_by_name.get(work.name, DestinationHealth())
    if health.state is DestinationState.DISABLED or health.is_held(view.now):
        return Plan(work, takes=False)
    orphans = work.find_orphans(view.snapshot, consumer) if looks_closer else ()
    may_take = work.room > 0 or (work.pending and looks_closer)
    if not may_take:
        return Plan(work, takes=False, orphans=orphans)
    if work.results:
        # There is something to write anyway, and other messages may be waiting for that.
        return Plan(work, takes=True, orphans=orphans)
    if view.newest <= consumer.given_up_to and not looks_closer:
        return Plan(work, takes=False)
    availability = check_for_messages(view.snapshot, consumer, view.newest, view.now)
    latest = view.now + work.destination.retries.waits_at_most
    takes = availability.is_worth_leasing or bool(orphans) or has_due(view.snapshot, consumer.id, view.now, latest)
    is_probe = health.state is DestinationState.PAUSED
    return Plan(work, takes or is_probe, consumer.given_up_to, availability.skipped_up_to, orphans)


def _has_to_renew(work: DestinationWork) -> bool:
    now = time.monotonic()
    return any(
        leased.is_complete or now - leased.extended >= work.lease_seconds * RENEWED_AFTER
        for leased in work.leased.values()
    )
