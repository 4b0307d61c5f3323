"""Consumers over a database, with a clock that tests set."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.messages import message
from tests.support.stored import accept
from webhook_service.domain.consumers import (
    BEGINNING,
    ConsumerKind,
    ConsumerOptions,
    ConsumerReport,
    DeadLetterFilter,
    FeedFilter,
    Lease,
    Start,
)
from webhook_service.domain.deliveries import Contents
from webhook_service.outlet.consumers import Consumers
from webhook_service.outlet.dead_letters import DeadLetters
from webhook_service.outlet.leases import Leases
from webhook_service.storage.database import Database
from webhook_service.storage.queries.dead_letters import list_dead_letters
from webhook_service.storage.writing import Transaction

EVERYTHING = FeedFilter()


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 15, 10, tzinfo=UTC)

    def __call__(self, _transaction: Transaction) -> datetime:
        return self.now

    def step(self, seconds: float) -> None:
        """Sets the clock forward or, by a negative number, back."""
        self.now += timedelta(seconds=seconds)


class Desk:
    """One consumer, with all that can be done with it."""

    def __init__(self, database: Database, name: str = "crm", clock: Clock | None = None) -> None:
        self.database = database
        self.name = name
        self.clock = clock or Clock()
        kind = ConsumerKind.CONSUMER
        self.consumers = Consumers(database, kind, self.clock)
        self.leases = Leases(database, kind, self.clock)
        self.dead_letters = DeadLetters(database, self.clock)

    def make(
        self,
        start: Start = BEGINNING,
        *,
        max_leases: int = 1,
        max_attempts: int = 5,
        wanted: FeedFilter = EVERYTHING,
    ) -> None:
        """Makes the consumer, or changes it."""
        self.consumers.put(self.name, ConsumerOptions(wanted, max_leases, max_attempts), start)

    def lease(self, limit: int = 100, seconds: float = 30) -> Lease | None:
        """Returns the lease that the consumer is given now; None when there is nothing for it."""
        return self.leases.lease(self.name, limit=limit, seconds=seconds)

    def must_lease(self, limit: int = 100, seconds: float = 30) -> Lease:
        """Returns the lease that the consumer is given now; fails when there is none."""
        given = self.lease(limit, seconds)
        assert given is not None
        return given

    def ack(self, lease: Lease, dead: dict[str, str] | None = None) -> None:
        """Acknowledges a lease."""
        self.leases.ack(self.name, lease.token, dead)

    def nack(self, lease: Lease, seconds: float = 0, reason: str | None = None) -> None:
        """Refuses a lease."""
        self.leases.nack(self.name, lease.token, seconds=seconds, reason=reason)

    def state(self) -> ConsumerReport:
        """Returns the state of the consumer."""
        return self.consumers.read(self.name)

    def dead(self) -> dict[str, str]:
        """Returns the reasons of the dead letters, by the ID of the message."""
        with self.database.snapshot() as snapshot:
            wanted = DeadLetterFilter(consumer=self.name)
            page = list_dead_letters(snapshot, wanted, after=0, limit=1000)
        return {each.message.message_id: each.reason for each in page.items}


def store(database: Database, *message_ids: str, **fields: Any) -> None:
    """Stores messages with these IDs; ``fields`` replace what they say."""
    accept(database, Contents(messages=tuple(message(each, **fields) for each in message_ids)))


def ids(lease: Lease | None) -> list[str]:
    """Returns the IDs of the messages in a lease."""
    return [] if lease is None else [each.message_id for each in lease.messages]


def names(first: int, last: int) -> list[str]:
    """Returns the IDs ``m<first>`` to ``m<last>``."""
    return [f"m{number}" for number in range(first, last + 1)]
