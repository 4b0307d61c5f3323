"""Receipts: reports by providers on outgoing messages."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Receipt:
    """A provider's report on what became of an outgoing message: sent, delivered, read, failed, or a newer status.

    ``ts`` is the provider's time and ``received_at`` ours, both aware, in UTC; ``error`` is in the provider's words.
    ``source`` is None for the source of the delivery.
    """

    message_id: str
    provider: str
    status: str
    recipient: str
    ts: datetime
    received_at: datetime
    error: str | None = None
    extra: Mapping[str, Any] | None = None
    source: str | None = None


class StoredReceipt(NamedTuple):
    """A receipt as read from storage; ``id`` is its place in stored order, ``extra`` a JSON text."""

    id: int
    message_id: str
    provider: str
    status: str
    recipient: str
    ts: datetime
    received_at: datetime
    error: str | None
    extra: str | None
    source: str


@dataclass(frozen=True, slots=True)
class ReceiptFilter:
    """Conditions on receipts."""

    message_id: str | None = None
    status: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class ReceiptQuery:
    """A request for a page: at most ``limit`` receipts that pass a filter, after the one with the id ``after``."""

    filter: ReceiptFilter
    limit: int
    after: int = 0
