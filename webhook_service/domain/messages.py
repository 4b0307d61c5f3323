"""Messages, and queries for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a delivery, as its provider's parser returns it.

    ``ts`` is the provider's time and ``received_at`` ours, both aware, in UTC. ``extra`` holds what has no column.
    ``source`` is None for the source of the delivery or, if there is no delivery, for the one named like the provider.
    """

    message_id: str
    provider: str
    sender: str
    recipient: str
    ts: datetime
    received_at: datetime
    text: str | None = None
    type: str = "text"
    extra: Mapping[str, Any] | None = None
    source: str | None = None


class StoredMessage(NamedTuple):
    """A message as read from storage; ``id`` is its place in stored order, ``extra`` a JSON text.

    ``is_test`` is True for a message by which the operator tried the service out: people see it, but no program is
    given it. It is None for any other message.

    The class is a tuple, since reads make a thousand of them at a time.
    """

    id: int
    message_id: str
    sender: str
    recipient: str
    ts: datetime
    text: str | None
    provider: str
    type: str
    received_at: datetime
    extra: str | None
    source: str
    is_test: bool | None = None

    @property
    def position(self) -> "Position":
        """Returns the place of the message in the order by ``ts``."""
        return Position(self.ts, self.message_id)


@dataclass(slots=True)
class Duplicates:
    """The number of repetitions of a stored message, and the time of the last one; ``last_at`` is None for none."""

    count: int = 0
    last_at: datetime | None = None

    def add(self, later: "Duplicates") -> None:
        """Adds duplicates of the same message."""
        self.count += later.count
        self.last_at = max(filter(None, (self.last_at, later.last_at)), default=None)


class Order(StrEnum):
    """The order of a list by the provider's time: oldest or newest first."""

    ASC = "asc"
    DESC = "desc"


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Conditions on messages; ``since`` is inclusive and ``until`` exclusive, both on ``ts``.

    With ``for_programs``, test messages are left out.
    """

    sender: str | None = None
    recipient: str | None = None
    provider: str | None = None
    source: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    q: str | None = None
    type: str | None = None
    for_programs: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """The place of a message in the order by ``ts``, then by ID; it remains valid when the message is deleted."""

    ts: datetime
    message_id: str


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """A request for a page: at most ``limit`` messages that pass a filter, after a place or after ``offset`` others.

    With ``with_total``, the number of all messages that pass the filter is wanted, too.
    """

    filter: MessageFilter
    limit: int
    order: Order = Order.ASC
    offset: int = 0
    after: Position | None = None
    with_total: bool = False
