"""Consumers: named readers of the feed whose place the service keeps, their leases and their dead letters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any

from webhook_service.domain.messages import StoredMessage


class ConsumerKind(StrEnum):
    """The kind of a reader: a program that asks for messages, or a destination, for which the forwarder takes them."""

    CONSUMER = "consumer"
    DESTINATION = "destination"


@dataclass(frozen=True, slots=True)
class FeedFilter:
    """Conditions on the messages that a consumer gets; None means any."""

    sender: str | None = None
    recipient: str | None = None
    source: str | None = None
    provider: str | None = None
    type: str | None = None

    def conditions(self) -> dict[str, str]:
        """Returns the values that are asked for, by the name of the field."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}


@dataclass(frozen=True, slots=True)
class ConsumerOptions:
    """The options of a consumer: which messages it gets, and how. With ``max_leases`` of 1, the order is strict.

    A message that was given ``max_attempts`` times and not acknowledged is set aside as a dead letter.
    """

    filter: FeedFilter = FeedFilter()
    max_leases: int = 1
    max_attempts: int = 5


@dataclass(frozen=True, slots=True)
class Consumer:
    """A consumer; up to the id ``given_up_to`` it was given the feed, without what its filter passes over."""

    id: int
    kind: ConsumerKind
    name: str
    options: ConsumerOptions
    given_up_to: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Stretch:
    """Messages with an id above ``after`` and up to ``last`` that a consumer has not acknowledged.

    ``attempt`` is how often they were given, ``token`` names the lease that has them. ``free_at`` is when they may be
    given again, reckoned from ``given_at``; ``reason`` is what the consumer said when it refused them. ``done`` are the
    ids of messages in it that a destination is done with, although an earlier one is still to be pushed.
    """

    id: int
    after: int
    last: int
    attempt: int
    token: str | None
    given_at: datetime
    free_at: datetime
    reason: str | None
    done: Sequence[int] = ()

    @classmethod
    def to_give_again(cls, after: int, last: int, now: datetime) -> "Stretch":
        """Makes a stretch, not stored yet, that a consumer is given again as if for the first time."""
        return cls(0, after, last, 0, None, now, now, None)


@dataclass(frozen=True, slots=True)
class Lease:
    """A stretch of the feed that is given to a consumer until ``expires_at``, for the ``attempt``-th time.

    ``leaves_little`` says that the feed has not enough messages after it for another lease of the length asked for.
    """

    token: str
    expires_at: datetime
    attempt: int
    messages: Sequence[StoredMessage]
    leaves_little: bool


@dataclass(frozen=True, slots=True)
class Lag:
    """The distance by which a consumer is behind.

    ``messages`` is the number of messages that it has not acknowledged, or a lower bound of it if ``is_exact`` is
    false; the oldest of them was received ``seconds`` ago.
    """

    messages: int
    is_exact: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Death:
    """A message that a consumer can't take, by its id in the feed, with the reason and the failed attempts."""

    feed_id: int
    reason: str
    attempts: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that the consumer named ``consumer`` could not take."""

    id: int
    kind: ConsumerKind
    consumer: str
    reason: str
    attempts: Sequence[Mapping[str, Any]]
    created_at: datetime
    message: StoredMessage


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Conditions on dead letters: their consumer or its kind, and that they died at ``since`` or later."""

    kind: ConsumerKind | None = None
    consumer: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class ConsumerReport:
    """A consumer and how it is doing.

    ``place`` is the id up to which it has acknowledged all that it gets; ``leases`` counts those that have not expired.
    """

    consumer: Consumer
    place: int
    lag: Lag
    leases: int
    dead_letters: int


class ConsumerNotFound(Exception):
    """There is no consumer of this name."""


class TooManyConsumers(Exception):
    """There are as many consumers of this kind as there may be."""


class LeaseEnded(Exception):
    """The lease has ended: its messages were acknowledged, refused or given again, or the consumer was moved."""


class NotInLease(Exception):
    """Some messages that were named, those in ``message_ids``, are not in the lease."""

    def __init__(self, message_ids: Sequence[str]) -> None:
        super().__init__("not in the lease")
        self.message_ids = message_ids


class StartNotFound(Exception):
    """There is no message with the ID at which a consumer was to start."""


class Edge(Enum):
    """An end of the feed."""

    BEGINNING = "beginning"
    NOW = "now"


BEGINNING, NOW = Edge.BEGINNING, Edge.NOW

Start = Edge | datetime | str
"""The place at which a consumer begins: an end of the feed, the first message received at or after a time, or an ID."""
