"""What is deleted for good, a few rows at a time.

A table that keeps anything of a message, a delivery or a person has its entry in ``OLD`` and in ``TRACES``.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import islice

from sqlalchemy import ColumnElement, Connection, delete, func, or_, select

from webhook_service.storage.models import MessageRow, QuarantineRow, ReceiptRow
from webhook_service.storage.rollups import count_between


def count_old_messages(connection: Connection, before: datetime) -> int:
    """How many messages have their ``ts`` before this."""
    return count_between(connection, None, before)


def delete_old_messages(connection: Connection, before: datetime, limit: int) -> int:
    """Deletes at most ``limit`` of those, the oldest first, and tells how many it deleted."""
    oldest = select(MessageRow.id).where(MessageRow.ts < before).order_by(MessageRow.ts).limit(limit)
    return connection.execute(delete(MessageRow).where(MessageRow.id.in_(oldest))).rowcount


def count_messages_of(connection: Connection, number: str) -> int:
    """How many messages this number has sent or got."""
    return connection.scalars(select(func.count()).select_from(MessageRow).where(_is_of(number))).one()


def delete_messages_of(connection: Connection, number: str, limit: int) -> int:
    """Deletes at most ``limit`` of those, and tells how many it deleted."""
    some = select(MessageRow.id).where(_is_of(number)).limit(limit)
    return connection.execute(delete(MessageRow).where(MessageRow.id.in_(some))).rowcount


def _is_of(number: str) -> ColumnElement[bool]:
    return or_(MessageRow.sender == number, MessageRow.recipient == number)


def count_old_receipts(connection: Connection, before: datetime) -> int:
    """How many receipts have their ``ts`` before this."""
    return _count(connection, ReceiptRow.ts < before)


def delete_old_receipts(connection: Connection, before: datetime, limit: int) -> int:
    """Deletes at most ``limit`` of those, and tells how many it deleted."""
    return _delete(connection, ReceiptRow, ReceiptRow.ts < before, limit)


def count_receipts_of(connection: Connection, number: str) -> int:
    """How many receipts there are of messages to this number."""
    return _count(connection, ReceiptRow.recipient == number)


def delete_receipts_of(connection: Connection, number: str, limit: int) -> int:
    """Deletes at most ``limit`` of those, and tells how many it deleted."""
    return _delete(connection, ReceiptRow, ReceiptRow.recipient == number, limit)


def count_old_quarantined(connection: Connection, before: datetime) -> int:
    """How many quarantined deliveries came before this for the last time."""
    return _count(connection, QuarantineRow.last_at < before)


def delete_old_quarantined(connection: Connection, before: datetime, limit: int) -> int:
    """Deletes at most ``limit`` of those, and tells how many it deleted."""
    return _delete(connection, QuarantineRow, QuarantineRow.last_at < before, limit)


def count_quarantined_of(connection: Connection, number: str) -> int:
    """How many quarantined deliveries mention this number anywhere in their body."""
    return len(list(_ids_that_mention(connection, number)))


def delete_quarantined_of(connection: Connection, number: str, limit: int) -> int:
    """Deletes at most ``limit`` of those, and tells how many it deleted."""
    some = list(islice(_ids_that_mention(connection, number), limit))
    return connection.execute(delete(QuarantineRow).where(QuarantineRow.id.in_(some))).rowcount


def _ids_that_mention(connection: Connection, number: str) -> Iterator[int]:
    # Providers write a number with a plus, an encoded plus or none, and a longer number is someone else's.
    digits = re.escape(number.removeprefix("+").encode())
    mention = re.compile(rb"(?<![0-9])" + digits + rb"(?![0-9])")
    for entry_id, raw in connection.execute(select(QuarantineRow.id, QuarantineRow.raw)):
        if mention.search(raw):
            yield entry_id


def _count(connection: Connection, condition: ColumnElement[bool]) -> int:
    return connection.scalars(select(func.count()).where(condition)).one()


def _delete(
    connection: Connection, table: type[ReceiptRow | QuarantineRow], condition: ColumnElement[bool], limit: int
) -> int:
    some = select(table.id).where(condition).limit(limit)
    return connection.execute(delete(table).where(table.id.in_(some))).rowcount


Count = Callable[[Connection, datetime], int]
Delete = Callable[[Connection, datetime, int], int]
CountOf = Callable[[Connection, str], int]
DeleteOf = Callable[[Connection, str, int], int]

OLD: Mapping[str, tuple[Count, Delete]] = {
    "messages": (count_old_messages, delete_old_messages),
    "receipts": (count_old_receipts, delete_old_receipts),
    "quarantined deliveries": (count_old_quarantined, delete_old_quarantined),
}
TRACES: Mapping[str, tuple[CountOf, DeleteOf]] = {
    "messages": (count_messages_of, delete_messages_of),
    "receipts": (count_receipts_of, delete_receipts_of),
    "quarantined deliveries": (count_quarantined_of, delete_quarantined_of),
}
