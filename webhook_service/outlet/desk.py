"""One destination in this process: what it has taken, what it pushes, and what is left to be recorded."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from webhook_service.domain.consumers import Consumer, Stretch
from webhook_service.domain.destinations import Destination, DestinationState, PushOrder, Retry, Standing
from webhook_service.outlet.lanes import Held, Job, Lanes, Outcome
from webhook_service.outlet.sender import Sender
from webhook_service.storage.queries.consumers import read_stretch
from webhook_service.storage.queries.retries import find_senders_elsewhere, find_waiting, read_messages
from webhook_service.storage.writing import Transaction

RENEWED_AFTER = 1 / 6  # of the time of a lease; well before the time until which a push may begin
AHEAD = 200  # jobs that wait for a thread, so that none is idle between two looks at the database

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """When the pushes of what was taken begin, on the monotonic clock, and the seconds between two."""

    begin: float = 0.0
    interval: float = 0.0


@dataclass(frozen=True, slots=True)
class Taken:
    """What one transaction took for a destination: a stretch, and messages to be tried again."""

    stretch: Stretch | None = None
    retries: Sequence[Retry] = ()
    pace: Pace = field(default_factory=Pace)


@dataclass(eq=False, slots=True)
class Desk:
    """What this process has in hand of one destination.

    ``lease_seconds`` is for how long it takes stretches. ``pending`` are jobs that may have to wait for another
    forwarder's, in stored order. ``outcomes`` are not recorded yet, nor are the leases ``extending`` since a time.
    """

    destination: Destination
    lease_seconds: float
    sender: Sender = field(init=False)
    lanes: Lanes = field(init=False)
    held: dict[str, Held] = field(default_factory=dict)
    pending: list[Job] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    extending: list[tuple[Held, float]] = field(default_factory=list)
    flows: bool = True

    def __post_init__(self) -> None:
        destination = self.destination
        self.sender = Sender(destination.target)
        self.lanes = Lanes(self.sender.push, concurrency=destination.concurrency, order=destination.order)

    @property
    def name(self) -> str:
        """The destination's."""
        return self.destination.name

    @property
    def room(self) -> int:
        """How many jobs more may be taken."""
        return self._most - self.lanes.jobs - len(self.pending)

    @property
    def room_for_earlier(self) -> int:
        """How many jobs more may be taken of stretches that a forwarder which died has left.

        What is pending may wait for just these, so it takes no room of theirs.
        """
        return self._most - self.lanes.jobs

    @property
    def is_empty(self) -> bool:
        """Tells whether nothing is in hand."""
        return not (self.held or self.pending or self.outcomes or self.lanes.jobs)

    def collect(self) -> None:
        """Takes over what the lanes have done since the last time."""
        self._conclude(self.lanes.take_outcomes())

    def forget_recorded(self) -> None:
        """Forgets the outcomes, and the stretches of which nothing is left, as the database has them."""
        self.outcomes.clear()
        self.lanes.forget_failures()
        for held, extended in self.extending:
            held.extended, held.deadline = extended, extended + self._good_for()
        self.extending.clear()
        for held in list(self.held.values()):
            held.recorded = held.after
            if not held.left:
                del self.held[held.token]

    def give_back(self) -> None:
        """Lets everything that has not begun wait for another time."""
        self.lanes.give_back()
        pending, self.pending = self.pending, []
        self._conclude(Outcome(job, None) for job in pending)

    def heed(self, standing: Standing, now: datetime) -> None:
        """Lets what has not begun wait for another time, once the destination is paused, disabled or held."""
        flows = standing.state is DestinationState.ACTIVE and not standing.is_held(now)
        if self.flows and not flows:
            why = standing.state if standing.state is not DestinationState.ACTIVE else "waiting as it was asked to"
            _log.warning("destination %s is %s", self.name, why)
            self.give_back()
            self.collect()
        elif flows and not self.flows:
            _log.warning("destination %s is pushed to again", self.name)
        self.flows = flows

    def receive(self, snapshot: Transaction, consumer: Consumer, taken: Taken) -> None:
        """Begins to push what was taken. The snapshot is of a time after that."""
        now = time.monotonic()
        deadline = now + self._good_for()
        by_id = {retry.feed_id: retry for retry in taken.retries}
        retries = [Job(each, retry=by_id[each.id], until=deadline) for each in read_messages(snapshot, by_id.keys())]
        new: list[Job] = []
        if (stretch := taken.stretch) is not None:
            messages = read_stretch(snapshot, consumer.options.filter, stretch.after, stretch.last)
            left = dict.fromkeys((message.id for message in messages), False)
            held = Held(stretch.token or "", stretch.after, deadline, now, stretch.after, left)
            self.held[held.token] = held
            new = [Job(message, held) for message in messages]
        for place, job in enumerate([*retries, *new]):
            job.not_before = taken.pace.begin + place * taken.pace.interval
        self.lanes.add(retries)
        self.pending = sorted(self.pending + new, key=lambda job: job.message.id)

    def admit(self, snapshot: Transaction, consumer: Consumer) -> None:
        """Hands to the lanes what doesn't have to wait for another forwarder's messages of the same sender.

        What has to wait for another attempt at an earlier message becomes an outcome.
        """
        is_ordered = self.destination.order is PushOrder.SENDER
        ids = [job.message.id for job in self.pending]
        names = {job.message.sender for job in self.pending} if is_ordered else set()
        waiting, stuck = find_waiting(snapshot, consumer.id, ids, names)
        is_blocked = self._find_blocked(snapshot, consumer) if is_ordered else lambda _job: False
        go, wait, stay = [], [], []
        for job in self.pending:
            if job.message.id in waiting:
                wait.append(job)
            elif is_blocked(job):
                stay.append(job)
            elif job.message.sender in stuck:
                wait.append(job)
            else:
                go.append(job)
        self.pending = stay
        self._conclude(Outcome(job, None) for job in wait)
        self.lanes.add(go)

    def lose(self, held: Held) -> None:
        """Stops pushing a stretch that another forwarder has by now."""
        held.deadline = 0.0
        del self.held[held.token]
        self.pending = [job for job in self.pending if job.held is not held]
        self.outcomes = [each for each in self.outcomes if each.job.held is not held or each.attempt is not None]

    def drop(self) -> None:
        """Lets go of everything, as the destination has no place in the feed any more."""
        self.lanes.give_back()
        self.collect()
        self.pending.clear()
        self.held.clear()
        self.outcomes.clear()
        self.lanes.forget_failures()

    def _find_blocked(self, snapshot: Transaction, consumer: Consumer) -> Callable[[Job], bool]:
        """Finds which jobs have an earlier message of their sender in a stretch that another forwarder has."""
        elsewhere = {
            after: find_senders_elsewhere(snapshot, consumer.id, after, self.held)
            for after in {job.held.recorded for job in self.pending if job.held}
        }
        return lambda job: job.held is not None and job.message.sender in elsewhere[job.held.recorded]

    def _conclude(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            self.outcomes.append(outcome)
            if outcome.job.held is not None:
                outcome.job.held.finish(outcome.job.message.id)

    @property
    def _most(self) -> int:
        return max(AHEAD, 2 * self.destination.concurrency)

    def _good_for(self) -> float:
        """Returns the seconds in which a push may begin so that it is over before the lease is."""
        return max(self.lease_seconds - self.destination.target.timeouts.total, self.lease_seconds / 3)
