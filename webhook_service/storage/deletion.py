"""What is deleted for good, a few rows at a time.

A table that keeps anything of a message, a delivery or a person has its entry in ``OLD`` and in ``TRACES``.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, func, or_, select

from webhook_service.storage.models import MessageRow
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


Count = Callable[[Connection, datetime], int]
Delete = Callable[[Connection, datetime, int], int]
CountOf = Callable[[Connection, str], int]
DeleteOf = Callable[[Connection, str, int], int]

OLD: Mapping[str, tuple[Count, Delete]] = {"messages": (count_old_messages, delete_old_messages)}
TRACES: Mapping[str, tuple[CountOf, DeleteOf]] = {"messages": (count_messages_of, delete_messages_of)}
