"""The table of dead letters: messages that a consumer or a destination could not take."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, select

from webhook_service.domain.consumers import Consumer, ConsumerKind, DeadLetter, DeadLetterFilter, Death
from webhook_service.domain.messages import StoredMessage
from webhook_service.domain.paging import Page
from webhook_service.storage.consumer_models import ConsumerRow, DeadLetterRow
from webhook_service.storage.models import MessageRow, read_columns
from webhook_service.storage.writing import Transaction

_dead_letters: Select[Any] = (
    select(
        DeadLetterRow.id,
        ConsumerRow.kind,
        ConsumerRow.name,
        DeadLetterRow.reason,
        DeadLetterRow.attempts,
        DeadLetterRow.created_at,
        *read_columns(MessageRow, StoredMessage._fields),
    )
    .join_from(DeadLetterRow, ConsumerRow)
    .join(MessageRow)
)


def add_dead_letters(transaction: Transaction, consumer: Consumer, deaths: Iterable[Death], now: datetime) -> None:
    """Stores dead letters of a consumer. If a message is one already, the new dead letter takes its place."""
    by_id = {death.feed_id: death for death in deaths}
    # The lock lasts until the dead letters are stored: a message that is being deleted is gone, or takes them along.
    still_there = select(MessageRow.id).where(MessageRow.id.in_(by_id)).with_for_update(read=True, key_share=True)
    rows = [_columns(consumer, by_id[feed_id], now) for feed_id in transaction.scalars(still_there)]
    if rows:
        again = DeadLetterRow.feed_id.in_(by_id)
        transaction.execute(delete(DeadLetterRow).where(DeadLetterRow.consumer_id == consumer.id, again))
        transaction.execute(insert(DeadLetterRow), rows)


def find_dead_letter(connection: Connection, dead_letter_id: int) -> DeadLetter | None:
    """Reads the dead letter with this id."""
    row = connection.execute(_dead_letters.where(DeadLetterRow.id == dead_letter_id)).one_or_none()
    return None if row is None else _dead_letter(row)


def list_dead_letters(
    connection: Connection, wanted: DeadLetterFilter, *, after: int, limit: int
) -> Page[DeadLetter, int]:
    """Reads a page of dead letters after the one with the id ``after``, oldest first."""
    page = (
        _dead_letters.where(DeadLetterRow.id > after, *_conditions(wanted)).order_by(DeadLetterRow.id).limit(limit + 1)
    )
    found = [_dead_letter(row) for row in connection.execute(page)]
    return Page.cut(found, limit, lambda dead_letter: dead_letter.id)


def delete_dead_letter(transaction: Transaction, dead_letter_id: int) -> bool:
    """Deletes a dead letter; False when it is not there."""
    return transaction.execute(delete(DeadLetterRow).where(DeadLetterRow.id == dead_letter_id)).rowcount > 0


def pop_dead_letters(
    transaction: Transaction, consumer: Consumer, *, since: datetime | None, most: int, only: int | None = None
) -> list[int]:
    """Deletes at most ``most`` dead letters of a consumer, oldest first, and returns the ids of their messages.

    With ``only``, takes just the dead letter with this id.
    """
    chosen = select(DeadLetterRow.id, DeadLetterRow.feed_id).where(DeadLetterRow.consumer_id == consumer.id)
    if since is not None:
        chosen = chosen.where(DeadLetterRow.created_at >= since)
    if only is not None:
        chosen = chosen.where(DeadLetterRow.id == only)
    rows = transaction.execute(chosen.order_by(DeadLetterRow.id).limit(most)).all()
    transaction.execute(delete(DeadLetterRow).where(DeadLetterRow.id.in_([row[0] for row in rows])))
    return [row[1] for row in rows]


def count_dead_letters(connection: Connection) -> Mapping[int, int]:
    """Counts the dead letters of each consumer that has any, by the consumer's id."""
    counted = select(DeadLetterRow.consumer_id, func.count()).group_by(DeadLetterRow.consumer_id)
    return {row[0]: row[1] for row in connection.execute(counted)}


def _conditions(wanted: DeadLetterFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.kind is not None:
        conditions.append(ConsumerRow.kind == wanted.kind.value)
    if wanted.consumer is not None:
        conditions.append(ConsumerRow.name == wanted.consumer)
    if wanted.since is not None:
        conditions.append(DeadLetterRow.created_at >= wanted.since)
    return conditions


def _columns(consumer: Consumer, death: Death, now: datetime) -> dict[str, Any]:
    return {
        "consumer_id": consumer.id,
        "feed_id": death.feed_id,
        "reason": death.reason,
        "attempts": [dict(attempt) for attempt in death.attempts],
        "created_at": now,
    }


def _dead_letter(row: Sequence[Any]) -> DeadLetter:
    dead_letter_id, kind, name, reason, attempts, created_at, *message = row
    return DeadLetter(dead_letter_id, ConsumerKind(kind), name, reason, attempts, created_at, StoredMessage(*message))
