"""Messages in and out of their table."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select
from sqlalchemy.dialects import postgresql, sqlite

from webhook_service.domain import Message, MessageFilter, Order, Outcome
from webhook_service.storage.models import MessageRow

_table = MessageRow.__table__


def insert_messages(connection: Connection, messages: Sequence[Message]) -> list[Outcome]:
    """Stores each message whose ID is new and tells what became of each, in order.

    The unique constraint decides, in the same statement that inserts, so the first write of an ID wins over any other
    in this batch, transaction or process.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(MessageRow).on_conflict_do_nothing().returning(MessageRow.message_id)
    created = set(connection.scalars(statement, [_to_row(message) for message in messages]))
    outcomes = []
    for message in messages:
        outcomes.append(Outcome.CREATED if message.message_id in created else Outcome.DUPLICATE)
        created.discard(message.message_id)
    return outcomes


def find_message(connection: Connection, message_id: str) -> Message | None:
    """The message with this ID."""
    row = connection.execute(_select().where(MessageRow.message_id == message_id)).one_or_none()
    return None if row is None else _to_message(row)


def list_messages(
    connection: Connection, wanted: MessageFilter, *, order: Order, limit: int, offset: int
) -> list[Message]:
    """One page of the messages that pass the filter, by ``ts``, then by ID."""
    keys: list[ColumnElement[Any]] = [MessageRow.ts.expression, MessageRow.message_id.expression]
    if order is Order.DESC:
        keys = [key.desc() for key in keys]
    page = _select().where(*_conditions(wanted)).order_by(*keys).limit(limit).offset(offset)
    return [_to_message(row) for row in connection.execute(page)]


def count_messages(connection: Connection, wanted: MessageFilter) -> int:
    """How many messages pass the filter."""
    return connection.scalars(select(func.count()).select_from(MessageRow).where(*_conditions(wanted))).one()


def fold(text: str) -> str:
    """Text with its case folded by Unicode's rules, the same whatever the database; what ``q`` is compared with."""
    return text.casefold()


def _conditions(wanted: MessageFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.sender is not None:
        conditions.append(MessageRow.sender == wanted.sender)
    if wanted.recipient is not None:
        conditions.append(MessageRow.recipient == wanted.recipient)
    if wanted.provider is not None:
        conditions.append(MessageRow.provider == wanted.provider)
    if wanted.since is not None:
        conditions.append(MessageRow.ts >= wanted.since)
    if wanted.until is not None:
        conditions.append(MessageRow.ts < wanted.until)
    if wanted.q is not None:
        conditions.append(MessageRow.text_folded.contains(fold(wanted.q), autoescape=True))
    return conditions


def _select() -> Select[Any]:
    return select(
        MessageRow.message_id,
        MessageRow.provider,
        MessageRow.sender,
        MessageRow.recipient,
        MessageRow.ts,
        MessageRow.received_at,
        MessageRow.text,
        MessageRow.type,
        MessageRow.extra,
    )


def _to_message(row: Row[Any]) -> Message:
    return Message(**row._asdict())


def _to_row(message: Message) -> dict[str, Any]:
    return {
        "message_id": message.message_id,
        "provider": message.provider,
        "sender": message.sender,
        "recipient": message.recipient,
        "ts": message.ts,
        "text": message.text,
        "text_folded": None if message.text is None else fold(message.text),
        "type": message.type,
        "extra": None if message.extra is None else dict(message.extra),
        "received_at": message.received_at,
    }
