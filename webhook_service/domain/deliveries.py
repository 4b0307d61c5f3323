"""Deliveries, and the contents that providers find in them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from webhook_service.domain.acknowledgement import Acknowledgement
from webhook_service.domain.messages import Message
from webhook_service.domain.receipts import Receipt
from webhook_service.domain.results import Reason


class Headers(Protocol):
    """Request headers; names are looked up regardless of case."""

    def get(self, name: str, /) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """One HTTP request of the source named ``source``: the bytes and headers exactly as they came.

    ``target`` is the path and query string as sent; ``received_at`` is aware, in UTC. ``quarantine_id`` is set for a
    replay: the delivery was verified when it arrived, is in quarantine under that id, and leaves it once it is
    understood. With ``rename_conflicts`` a message whose ID is taken by another one is stored under an ID of its own.
    ``is_test`` marks a delivery by which the operator tries the service out, and all its messages.
    """

    source: str
    raw: bytes
    headers: Headers
    target: str
    received_at: datetime
    quarantine_id: int | None = None
    rename_conflicts: bool = False
    is_test: bool = False

    @property
    def is_from_provider(self) -> bool:
        """Tells whether a provider has just sent the delivery, so that it is neither a replay nor a test."""
        return self.quarantine_id is None and not self.is_test


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One item of a delivery that could not be understood; ``where`` is its path in the payload."""

    reason: Reason
    where: str


@dataclass(frozen=True, slots=True)
class Contents:
    """The items found in a delivery; ``answer`` is set for a check of the address, which holds no items."""

    messages: tuple[Message, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    answer: Acknowledgement | None = None
