"""One destination in this process: what was taken for it, what is being pushed, and what is still to be recorded."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from webhook_service.domain.consumers import Consumer, Stretch
from webhook_service.domain.destinations import Destination, DestinationHealth, DestinationState, PushOrder, Retry
from webhook_service.outlet.push_threads import LeasedStretch, PushJob, PushResult, PushThreads
from webhook_service.outlet.sender import Sender
from webhook_service.storage.queries.consumers import read_stretch
from webhook_service.storage.queries.retries import (
    find_first_elsewhere_by_sender,
    find_first_waiting_by_sender,
    find_orphans,
    find_waiting_ids,
    read_messages,
)
from webhook_service.storage.writing import Transaction

RENEWED_AFTER = 1 / 6  # of a lease's duration; well before pushes may no longer begin
TO_RECORD = 5.0  # seconds between the end of a push and the record of it
AHEAD = 200  # jobs that are taken ahead, so that no thread is idle between two looks at the database

Judge = Callable[[PushJob], bool]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace of pushes: when the first may begin, on the monotonic clock, and the seconds between two."""

    begin: float = 0.0
    interval: float = 0.0


@dataclass(frozen=True, slots=True)
class Taken:
    """The messages that one transaction took for a destination: a stretch, and some to be tried again."""

    stretch: Stretch | None = None
    retries: Sequence[Retry] = ()
    pace: Pace = field(default_factory=Pace)


@dataclass(eq=False, slots=True)
class DestinationWork:
    """The work that this process has in hand for one destination.

    ``lease_seconds`` is how long it leases stretches for. ``pending`` are jobs, in stored order, that may have to wait
    for another forwarder's. ``results`` are not recorded yet. ``extending`` are the stretches whose leases are being
    extended, each with the time from which the extension counts. ``flows`` is false while nothing may be pushed.
    ``retrying`` are the retries in hand, by the ids of their rows. ``looks_from`` is the sender at which the next look
    for orphans begins. ``ask_for_record`` is called when many pushes have ended and are not recorded.
    """

    destination: Destination
    lease_seconds: float
    ask_for_record: Callable[[], None]
    sender: Sender = field(init=False)
    threads: PushThreads = field(init=False)
    leased: dict[str, LeasedStretch] = field(default_factory=dict)
    pending: list[PushJob] = field(default_factory=list)
    results: list[PushResult] = field(default_factory=list)
    extending: list[tuple[LeasedStretch, float]] = field(default_factory=list)
    flows: bool = True
    retrying: dict[int, PushJob] = field(default_factory=dict)
    looks_from: str = ""

    def __post_init__(self) -> None:
        destination = self.destination
        self.sender = Sender(destination.target)
        self.threads = PushThreads(
            self.sender.push,
            concurrency=destination.concurrency,
            order=destination.order,
            ask_for_record=self.ask_for_record,
        )

    @property
    def name(self) -> str:
        """The destination's name."""
        return self.destination.name

    @property
    def room(self) -> int:
        """Returns the number of jobs that may still be taken."""
        return self._most - self.threads.jobs - len(self.pending)

    @property
    def room_for_earlier(self) -> int:
        """Returns the number of jobs that may still be taken from stretches left behind by a forwarder that died.

        Pending jobs may be waiting for just those, so pending jobs don't count here.
        """
        return self._most - self.threads.jobs

    @property
    def retry_seconds(self) -> float:
        """Returns the seconds for which retries are taken; nothing extends them, so every push is recorded by then."""
        return self._good_for() + self.destination.target.timeouts.total + TO_RECORD

    @property
    def is_empty(self) -> bool:
        """Tells whether no work is in hand."""
        return not (self.leased or self.pending or self.results or self.threads.jobs)

    def collect(self) -> None:
        """Takes over the results of the threads since the last call."""
        self._conclude(self.threads.take_results())

    def forget_recorded(self) -> None:
        """Forgets the results, and the stretches of which nothing is left, now that the database has recorded them."""
        for result in self.results:
            if result.job.retry is not None:
                self.retrying.pop(result.job.retry.id, None)
        self.results.clear()
        self.threads.forget_recorded()
        for leased, extended in self.extending:
            leased.extended, leased.deadline = extended, extended + self._good_for()
        self.extending.clear()
        for leased in list(self.leased.values()):
            leased.is_changed = False
            if leased.is_complete:
                del self.leased[leased.token]

    def postpone_unbegun(self) -> None:
        """Puts off every job that has not begun."""
        self.threads.postpone_unbegun()
        pending, self.pending = self.pending, []
        self._conclude(PushResult(job, None) for job in pending)

    def follow_health(self, health: DestinationHealth, now: datetime) -> None:
        """Puts off every job that has not begun once the destination is paused, disabled or held; logs each change."""
        flows = health.state is DestinationState.ACTIVE and not health.is_held(now)
        if self.flows and not flows:
            why = health.state if health.state is not DestinationState.ACTIVE else "waiting as it was asked to"
            _log.warning("destination %s is %s", self.name, why)
            self.postpone_unbegun()
            self.collect()
        elif flows and not self.flows:
            _log.warning("destination %s is pushed to again", self.name)
        self.flows = flows

    def receive(self, snapshot: Transaction, consumer: Consumer, taken: Taken) -> None:
        """Begins to push what was taken. The snapshot has to be from after the transaction that took it."""
        now = time.monotonic()
        deadline = now + self._good_for()
        by_id = {retry.feed_id: retry for retry in taken.retries}
        retries = [
            PushJob(each, retry=by_id[each.id], until=deadline) for each in read_messages(snapshot, by_id.keys())
        ]
        self.retrying |= {by_id[job.message.id].id: job for job in retries}
        new: list[PushJob] = []
        if (stretch := taken.stretch) is not None:
            messages = read_stretch(snapshot, consumer.options.filter, stretch.after, stretch.last)
            done = set(stretch.done)
            done_by_id = {message.id: message.id in done for message in messages}
            leased = LeasedStretch(stretch.token or "", stretch.after, deadline, now, done_by_id)
            self.leased[leased.token] = leased
            new = [PushJob(message, leased) for message in messages if message.id not in done]
        for place, job in enumerate([*retries, *new]):
            job.not_before = taken.pace.begin + place * taken.pace.interval
        self.pending = sorted([*self.pending, *retries, *new], key=lambda job: job.message.id)

    def start_unblocked(self, snapshot: Transaction, consumer: Consumer) -> None:
        """Hands to the threads the jobs that don't have to wait for another forwarder's messages of the same sender.

        A job that has to wait for another attempt at an earlier message becomes a result.
        """
        new = [job.message.id for job in self.pending if job.retry is None]
        waiting = find_waiting_ids(snapshot, consumer.id, new)
        is_blocked, is_stuck = self._look_at_senders(snapshot, consumer)
        go, wait, stay = [], [], []
        for job in self.pending:
            if job.retry is None and job.message.id in waiting:
                wait.append(job)
            elif is_blocked(job):
                stay.append(job)
            elif is_stuck(job):
                wait.append(job)
            else:
                go.append(job)
        self.pending = stay
        self._conclude(PushResult(job, None) for job in wait)
        self.threads.add(go)

    def find_orphans(self, snapshot: Transaction, consumer: Consumer) -> list[str]:
        """Finds senders whose messages all wait for one that is gone; each look goes on where the last one ended."""
        orphans, self.looks_from = find_orphans(snapshot, consumer.id, self.looks_from)
        return orphans

    def drop_lost(self, leased: LeasedStretch) -> None:
        """Stops pushing a stretch that another forwarder has taken over."""
        leased.deadline = 0.0
        del self.leased[leased.token]
        self.pending = [job for job in self.pending if job.leased is not leased]

    def drop_retries(self, ids: Iterable[int]) -> None:
        """Stops pushing retries whose rows are gone."""
        gone = [self.retrying.pop(each) for each in ids]
        for job in gone:
            job.until = 0.0
        if gone:
            self.pending = [job for job in self.pending if job not in gone]

    def drop(self) -> None:
        """Drops all work in hand, as the destination no longer has a place in the feed."""
        self.threads.postpone_unbegun()
        self.collect()
        self.pending.clear()
        self.leased.clear()
        self.retrying.clear()
        self.results.clear()
        self.threads.forget_recorded()

    def _look_at_senders(self, snapshot: Transaction, consumer: Consumer) -> tuple[Judge, Judge]:
        """Returns tests for jobs with an earlier message of their sender in another's stretch, or among the retries.

        Nothing waits here for a retry that this forwarder has in hand: the threads keep the order.
        """
        if self.destination.order is not PushOrder.SENDER or not self.pending:
            return _never, _never
        ids = [job.message.id for job in self.pending]
        senders = {job.message.sender for job in self.pending}
        elsewhere = find_first_elsewhere_by_sender(snapshot, consumer.id, max(ids), self.leased, senders)
        in_hand = [job.message.id for job in self.retrying.values()]
        waiting = find_first_waiting_by_sender(snapshot, consumer.id, ids, besides=in_hand)

        def is_blocked(job: PushJob) -> bool:
            return elsewhere.get(job.message.sender, job.message.id) < job.message.id

        def is_stuck(job: PushJob) -> bool:
            return waiting.get(job.message.sender, job.message.id) < job.message.id

        return is_blocked, is_stuck

    def _conclude(self, results: Iterable[PushResult]) -> None:
        for result in results:
            self.results.append(result)
            if result.job.leased is not None:
                result.job.leased.finish(result.job.message.id)

    @property
    def _most(self) -> int:
        return max(AHEAD, 2 * self.destination.concurrency)

    def _good_for(self) -> float:
        """Returns the seconds for which pushes may begin, so that they are over before the lease is."""
        return max(self.lease_seconds - self.destination.target.timeouts.total, self.lease_seconds / 3)


def _never(_job: PushJob) -> bool:
    return False
