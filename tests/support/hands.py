"""Forwarders without threads: each push begins and ends when the test says so, by clocks that the test sets."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import pytest

from tests.support.forwarding_destinations import destination
from webhook_service.domain.destinations import Attempt, Destination, Failure, On410, PushOrder, Retries, Target
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.domain.messages import StoredMessage
from webhook_service.outlet import backoff, breaker, destinations, forwarder, push_threads, recording, resending, work
from webhook_service.outlet.forwarder import Forwarder
from webhook_service.outlet.push_threads import PushJob
from webhook_service.outlet.work import DestinationWork
from webhook_service.storage.database import PATIENCE, Database
from webhook_service.storage.writing import Transaction

LEASE_SECONDS = 30.0
PUSH_SECONDS = 5.0  # the longest that a push takes
AHEAD = 4  # jobs in hand, so that stretches are short


class Clocks:
    """The clocks of the machine, which stand still until they are set: the wall clock, and the monotonic one."""

    def __init__(self) -> None:
        self.now = self._latest = datetime(2026, 1, 15, 10, tzinfo=UTC)
        self._monotonic = 1000.0

    def monotonic(self) -> float:
        """Returns the time of the monotonic clock."""
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        """Lets time pass."""
        self._monotonic += seconds
        self.now += timedelta(seconds=seconds)

    def step(self, seconds: float) -> None:
        """Sets the wall clock on or, by a negative number, back."""
        self._latest = max(self._latest, self.now)
        self.now += timedelta(seconds=seconds)

    def behind(self) -> float:
        """Returns the seconds until the wall clock shows again the latest time that it has shown."""
        return max(0.0, (self._latest - self.now).total_seconds())

    def read_now(self, _transaction: Transaction) -> datetime:
        """Reads the wall clock, as a transaction does."""
        return self.now

    def rule(self, patch: pytest.MonkeyPatch) -> None:
        """Has the outlet go by these clocks, and by small numbers."""
        for module in (recording, work, forwarder, push_threads):
            patch.setattr(module, "time", self)
        for reading in (destinations, forwarder, resending):
            patch.setattr(reading, "read_now", self.read_now)
        patch.setattr(work, "AHEAD", AHEAD)
        patch.setattr(work, "Sender", NoSender)
        for module in (breaker, push_threads):
            patch.setattr(module, "FAILURES_TO_PAUSE", 3)
        patch.setattr(backoff, "FIRST_PROBE", 2.0)
        patch.setattr(backoff, "LONGEST_PROBE", 10.0)


class NoSender:
    """Stands where a sender would, of which nothing is asked; to make one takes longer than a cycle."""

    def __init__(self, _target: Target) -> None: ...

    def push(self, _message: StoredMessage) -> Attempt:
        """Is not called, as the test decides what comes of a push."""
        raise NotImplementedError


class Trouble(StrEnum):
    """Trouble with the commit of a cycle, or right after it."""

    UNDONE = "undone"
    UNHEARD = "committed, which the forwarder doesn't come to know"
    BROKEN_OFF = "committed, and then the database is away"


class FlakyDatabase(Database):
    """A database that is away in the next cycle, at the place that ``trouble`` says."""

    trouble: Trouble | None = None
    _is_away = False

    @contextmanager
    def transaction_without_turn(self, patience: float = PATIENCE) -> Iterator[Transaction]:
        """Opens a transaction as a Database does."""
        with super().transaction_without_turn(patience) as transaction:
            yield transaction
            if self.trouble is Trouble.UNDONE:
                raise StorageUnavailable("away")
        if self.trouble is Trouble.UNHEARD:
            raise StorageUnavailable("away")
        self._is_away = self.trouble is Trouble.BROKEN_OFF

    @contextmanager
    def primary_snapshot(self) -> Iterator[Transaction]:
        """Opens a snapshot as a Database does."""
        if self._is_away:
            raise StorageUnavailable("away")
        with super().primary_snapshot() as snapshot:
            yield snapshot

    @contextmanager
    def troubled(self, trouble: Trouble) -> Iterator[None]:
        """Has the next commit go wrong."""
        self.trouble = trouble
        try:
            yield
        finally:
            self.trouble, self._is_away = None, False


@dataclass(eq=False, slots=True)
class Push:
    """A push under way."""

    work: DestinationWork
    job: PushJob
    began: float

    @property
    def message_id(self) -> str:
        """The message's ID."""
        return self.job.message.message_id


@dataclass(eq=False)
class Hands:
    """A forwarder whose pushes begin and end one by one."""

    database: Database
    clocks: Clocks
    destinations: list[Destination]
    under_way: list[Push] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.forwarder = Forwarder(self.database, self.destinations, LEASE_SECONDS)
        self.all_work = {each.name: each for each in self.forwarder._all_work}
        for each in self.all_work.values():
            each.threads.start_threads = lambda: None  # type: ignore[method-assign]

    def begin(self, name: str) -> Push | None:
        """Begins a push to a destination, if a thread would."""
        work = self.all_work[name]
        while work.threads.may_go_on():
            job = work.threads._next()
            assert job is not None
            if work.threads._wait_for(job):
                push = Push(work, job, self.clocks.monotonic())
                self.under_way.append(push)
                return push
            work.threads._finish(job, None)
        return None

    def finish(self, push: Push, attempt: Attempt) -> None:
        """Ends a push."""
        self.under_way.remove(push)
        push.work.threads._finish(push.job, attempt)

    def in_hand(self, name: str) -> set[str]:
        """Returns the IDs of messages that are taken for a destination and not pushed yet."""
        work = self.all_work[name]
        queued = [*work.threads._ready, *(job for queue in work.threads._queued_by_sender.values() for job in queue)]
        return {job.message.message_id for job in [*work.pending, *queued]}

    def has(self, name: str) -> set[str]:
        """Returns the IDs of messages that are taken for a destination, or pushed and not recorded yet."""
        work = self.all_work[name]
        results = [*work.results, *work.threads._results]
        under_way = {push.message_id for push in self.under_way if push.work is work}
        return self.in_hand(name) | under_way | {each.job.message.message_id for each in results}


class Answer(StrEnum):
    """A receiver's answer to a push; the last two are of one that takes it, and can't say so in time."""

    TAKEN = "taken"
    BROKEN = "broken"
    OVERLOADED = "overloaded"
    GONE = "gone"
    SILENT = "silent"
    TAKEN_IN_SILENCE = "taken in silence"

    @property
    def is_taken(self) -> bool:
        """Tells whether the receiver has the message."""
        return self in {Answer.TAKEN, Answer.TAKEN_IN_SILENCE}

    def attempt(self, at: datetime) -> Attempt:
        """Returns the push as the forwarder sees it."""
        match self:
            case Answer.TAKEN:
                return Attempt(at, 0.1, 200)
            case Answer.SILENT | Answer.TAKEN_IN_SILENCE:
                return Attempt(at, PUSH_SECONDS, failure=Failure.TIMED_OUT)
        status = {Answer.BROKEN: 500, Answer.OVERLOADED: 429, Answer.GONE: 410}[self]
        asked_for = 20.0 if self is Answer.OVERLOADED else None
        return Attempt(at, 0.1, status, Failure.STATUS, "no", asked_for)


def declared(name: str, order: PushOrder, on_410: On410) -> Destination:
    """Declares a destination that gives up early."""
    return destination(
        "http://127.0.0.1:9/", name, order=order, on_410=on_410, retries=Retries(first=5, longest=20, total=60)
    )
