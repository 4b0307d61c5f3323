"""Two workers of one consumer against a simple model: each message acknowledged or dead, and none skipped."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from sqlalchemy import delete

from tests.fuzz.machines import run
from tests.support.consumers import Clock, Desk, ids, store
from tests.support.stored import empty
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.consumers import BEGINNING, NOW, DeadLetterFilter, Lease, LeaseEnded
from webhook_service.storage.database import Database
from webhook_service.storage.models import MessageRow

STEPS = 40
MAX_ATTEMPTS = 2

workers = st.integers(0, 1)
seconds = st.sampled_from([10, 60])


@dataclass(eq=False)
class Given:
    """Messages that were given, or refused for a time, and may not be given before ``free_at``."""

    message_ids: set[str]
    given_at: datetime
    free_at: datetime
    has_lost_some: bool = False

    def lose(self, message_ids: set[str]) -> None:
        """Notes that messages were given anew, or are dead."""
        self.has_lost_some |= bool(self.message_ids & message_ids)
        self.message_ids -= message_ids


class Consumer(RuleBasedStateMachine):
    """A consumer with two workers, each with connections of its own, and a clock that is set on and back."""

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.databases: list[Database] = []
        self.desks: list[Desk] = []
        self.stored: list[str] = []  # in stored order; those that were deleted are not there
        self.number = 0
        self.owed: set[str] = set()  # not acknowledged, and no dead letter
        self.dead: set[str] = set()
        self.times: dict[str, int] = {}  # that a message was given since it was stored, sought or retried
        self.given: list[Given] = []
        self.leases: list[tuple[Lease, Given] | None] = [None, None]
        self.open()

    def open(self) -> None:
        """Opens a database for each worker, as processes do when they start."""
        self.databases = [Database(parse_url(self.url), pool_size=2) for _ in range(2)]
        self.desks = [Desk(database, "crm", self.clock) for database in self.databases]

    def close(self) -> None:
        """Closes both."""
        for database in self.databases:
            database.close()

    @initialize(max_leases=st.integers(1, 3))
    def begin(self, max_leases: int) -> None:
        """Makes the consumer."""
        empty(self.url)
        self.max_leases = max_leases
        self.desks[0].make(max_leases=max_leases, max_attempts=MAX_ATTEMPTS)

    @rule(number=st.integers(1, 6))
    def deliver(self, number: int) -> None:
        """Stores some messages."""
        new = [f"m{self.number + at}" for at in range(number)]
        self.number += number
        store(self.databases[0], *new)
        self.stored += new
        self.owed.update(new)

    @rule(worker=workers, limit=st.integers(1, 5), lasts=seconds)
    def lease(self, worker: int, limit: int, lasts: int) -> None:
        """Gives a worker what comes next, and checks that it is that."""
        lease = self.desks[worker].lease(limit, lasts)
        now = self.clock.now
        for each in self.given:
            if each.given_at > now:
                each.given_at, each.free_at = now, now + (each.free_at - each.given_at)
        self.bury()
        held = [each for each in self.given if each.free_at > now]
        busy = set().union(*(each.message_ids for each in held))
        available = [each for each in self.stored if each in self.owed - busy]
        if lease is None:
            assert len(held) >= self.max_leases or not available
            return
        assert len(held) < self.max_leases
        assert ids(lease) == available[: len(lease.messages)]
        assert 1 <= len(lease.messages) <= limit
        given = Given(set(ids(lease)), now, now + timedelta(seconds=lasts))
        for each in self.given:
            each.lose(given.message_ids)
        for message_id in given.message_ids:
            self.times[message_id] = self.times.get(message_id, 0) + 1
        self.given = [*(each for each in self.given if each.message_ids or each.free_at > now), given]
        self.leases[worker] = (lease, given)

    @precondition(lambda self: any(self.leases))
    @rule(worker=workers, some_are_dead=st.booleans())
    def ack(self, worker: int, some_are_dead: bool) -> None:
        """Acknowledges, or sets the first message aside."""
        if (found := self.leases[worker]) is None:
            return
        lease, given = found
        left = [each for each in ids(lease) if each in self.stored]
        dead = set(left[:1]) if some_are_dead else set()
        if self.ends(lambda: self.desks[worker].ack(lease, dict.fromkeys(dead, "?")), given):
            self.owed -= set(ids(lease))
            self.dead |= dead
            self.given.remove(given)
        self.leases[worker] = None

    @precondition(lambda self: any(self.leases))
    @rule(worker=workers, delay=st.sampled_from([0, 0, 30]))
    def nack(self, worker: int, delay: int) -> None:
        """Refuses."""
        if (found := self.leases[worker]) is None:
            return
        lease, given = found
        if self.ends(lambda: self.desks[worker].nack(lease, delay), given):
            given.given_at, given.free_at = self.clock.now, self.clock.now + timedelta(seconds=delay)
        self.leases[worker] = None

    @precondition(lambda self: any(self.leases))
    @rule(worker=workers, lasts=seconds)
    def extend(self, worker: int, lasts: int) -> None:
        """Keeps a lease for longer, unless it has expired."""
        if (found := self.leases[worker]) is None:
            return
        lease, given = found
        has_expired = given.free_at <= self.clock.now
        try:
            self.desks[worker].leases.extend("crm", lease.token, seconds=lasts)
        except LeaseEnded:
            assert has_expired or not self.is_there(given)
        else:
            assert not has_expired
            given.given_at, given.free_at = self.clock.now, self.clock.now + timedelta(seconds=lasts)

    @rule(step=st.sampled_from([5, 15, 100, -40]))
    def set_clock(self, step: int) -> None:
        """Sets the clock on or back."""
        self.clock.step(step)

    @rule(start=st.sampled_from(["beginning", "now", "message"]))
    def seek(self, start: str) -> None:
        """Moves the place, which ends all leases."""
        if start == "message" and not self.stored:
            return
        middle = len(self.stored) // 2
        place = {"beginning": BEGINNING, "now": NOW}.get(start, self.stored[middle] if self.stored else "")
        self.desks[0].consumers.seek("crm", place)
        self.given = []
        self.owed = set({"beginning": self.stored, "now": []}.get(start, self.stored[middle:]))
        self.times = {}

    @rule(place=st.integers(0, 20), number=st.integers(1, 3))
    def erase(self, place: int, number: int) -> None:
        """Deletes messages, whether they were taken or not."""
        gone = self.stored[place : place + number]
        with self.databases[0].transaction() as transaction:
            transaction.execute(delete(MessageRow).where(MessageRow.message_id.in_(gone)))
        self.stored = [each for each in self.stored if each not in gone]
        self.owed -= set(gone)
        self.dead -= set(gone)

    @precondition(lambda self: self.dead and not self.dead & self.owed)
    @rule()
    def retry(self) -> None:
        """Has all dead letters given again."""
        assert self.desks[0].dead_letters.retry_all(DeadLetterFilter(consumer="crm")) == len(self.dead)
        self.owed |= self.dead
        for each in self.dead:
            self.times.pop(each, None)
        self.dead = set()

    @rule()
    def restart(self) -> None:
        """Ends both workers, and starts others."""
        self.close()
        self.open()

    def bury(self) -> None:
        """Learns which messages have become dead letters, each after all of its attempts."""
        buried = set(self.desks[0].dead()) - self.dead
        assert all(self.times[each] >= MAX_ATTEMPTS for each in buried)
        self.owed -= buried
        self.dead |= buried
        for given in self.given:
            given.lose(buried)

    def ends(self, end: Callable[[], None], given: Given) -> bool:
        """Ends a lease, and tells whether it was still there, which the model must know."""
        try:
            end()
        except LeaseEnded:
            assert not self.is_there(given)
            return False
        assert given in self.given
        assert not given.has_lost_some
        return True

    def is_there(self, given: Given) -> bool:
        """Tells whether a lease is there for certain; one of which all messages were erased may be or not."""
        return (
            given in self.given and not given.has_lost_some and any(each in self.stored for each in given.message_ids)
        )

    def teardown(self) -> None:
        """Takes all that is left: then each message that is there was acknowledged, or is dead."""
        self.clock.step(1000)
        while lease := self.desks[0].lease():
            self.owed -= set(ids(lease))
            self.desks[0].ack(lease)
            self.clock.step(1000)
        self.bury()
        assert self.owed == set()
        assert self.desks[0].state().lag.messages == 0
        self.close()


def test_each_message_is_acknowledged_or_dead_and_none_is_skipped(database_url: str) -> None:
    run(Consumer, STEPS, url=database_url)
