"""Messages in and out of their table."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import starmap
from typing import Any, cast
from unicodedata import normalize

from sqlalchemy import ColumnElement, Connection, Select, Table, Tuple, func, literal, select, tuple_
from sqlalchemy import Row as ResultRow
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from webhook_service.domain import Message, MessageFilter, MessageQuery, Order, Outcome, Position, StoredMessage
from webhook_service.storage.insert import Executor, Row, insert_new, rows_in_a_statement, timestamp_value
from webhook_service.storage.models import MessageRow, UtcDateTime, read_columns
from webhook_service.storage.rollups import count_all, count_between, count_of_sender
from webhook_service.storage.trigrams import narrow_down

_table = cast("Table", MessageRow.__table__)
_COLUMNS = (
    "message_id",
    "provider",
    "sender",
    "recipient",
    "ts",
    "text",
    "text_folded",
    "type",
    "extra",
    "received_at",
)
_KEY = _COLUMNS[:1]
MESSAGES_IN_A_STATEMENT = rows_in_a_statement(_COLUMNS)
_KEY_OF_PAGES = tuple_(MessageRow.ts, MessageRow.message_id)


def encode_message(message: Message) -> Row:
    """A message as the row that ``insert_messages`` takes; work that needs no transaction is done here."""
    return (
        message.message_id,
        message.provider,
        message.sender,
        message.recipient,
        timestamp_value(message.ts),
        message.text,
        None if message.text is None else fold(message.text),
        message.type,
        None if message.extra is None else json.dumps(message.extra, ensure_ascii=False),
        timestamp_value(message.received_at),
    )


def insert_messages(executor: Executor, rows: Sequence[Row]) -> list[Outcome]:
    """Stores each message whose ID is new and tells what became of each, in order."""
    return insert_new(executor, _table, _COLUMNS, len(_KEY), rows)


def find_message(connection: Connection, message_id: str) -> StoredMessage | None:
    """The message with this ID."""
    if "\x00" in message_id:  # no text of a database holds it, and PostgreSQL refuses the question
        return None
    row = connection.execute(select_messages().where(MessageRow.message_id == message_id)).one_or_none()
    return None if row is None else StoredMessage(*row)


def list_messages(connection: Connection, query: MessageQuery, last: Position | None = None) -> list[StoredMessage]:
    """Reads the messages of a page by ``ts``, then by ID, up to the last place that is meant, if there is one."""
    page = (
        select_messages()
        .where(*matching(query), *up_to(last, query.order))
        .order_by(*sort_keys(query.order, _table.c))
        .limit(query.limit)
        .offset(query.offset)
    )
    return to_messages(connection.execute(page))


def count_messages(connection: Connection, wanted: MessageFilter) -> int:
    """How many messages pass the filter; those of the filters that come often are kept ready."""
    match wanted:
        case MessageFilter(recipient=None, provider=None, q=None, sender=None, since=since, until=until):
            return count_between(connection, since, until) if since or until else count_all(connection)
        case MessageFilter(recipient=None, provider=None, q=None, sender=str(sender), since=None, until=None):
            return count_of_sender(connection, sender)
    narrow = [] if wanted.q is None else narrow_down(connection, fold(wanted.q))
    counted = select(func.count()).select_from(MessageRow).where(*narrow, *_conditions(wanted))
    return connection.scalars(counted).one()


def select_messages() -> Select[Any]:
    """A query for messages as ``to_messages`` takes them."""
    return select(*read_columns(MessageRow, StoredMessage._fields))


def to_messages(rows: Iterable[ResultRow[Any]]) -> list[StoredMessage]:
    """The rows of a query made with ``select_messages``."""
    return list(starmap(StoredMessage, rows))


def fold(text: str) -> str:
    """Text with its case folded, the same whatever the database; what ``q`` is compared with.

    By Unicode's rules (chapter 3.13, canonical caseless matching); Turkish's dotted and dotless i are both an i.
    """
    if text.isascii():
        return text.lower()
    folded = normalize("NFC", normalize("NFC", text).casefold())
    return folded.replace("i\u0307", "i").replace("\u0131", "i")


def sort_keys(order: Order, columns: ReadOnlyColumnCollection[str, Any]) -> list[ColumnElement[Any]]:
    """What a page is ordered by."""
    keys: list[ColumnElement[Any]] = [columns["ts"], columns["message_id"]]
    return keys if order is Order.ASC else [key.desc() for key in keys]


def up_to(last: Position | None, order: Order) -> list[ColumnElement[bool]]:
    """The condition of not coming after a place."""
    if last is None:
        return []
    return [_place(last) >= _KEY_OF_PAGES if order is Order.ASC else _place(last) <= _KEY_OF_PAGES]


def matching(query: MessageQuery) -> list[ColumnElement[bool]]:
    """The conditions of passing the filter of a query and coming after its place.

    The place is compared as a row, at which both databases enter an index directly. A bound of the filter that it
    implies is left out, or a database may enter the index there instead.
    """
    wanted, after = query.filter, query.after
    if after is None:
        return _conditions(wanted)
    if query.order is Order.ASC:
        implied = wanted.since is not None and wanted.since <= after.ts
        return [*_conditions(replace(wanted, since=None) if implied else wanted), _place(after) < _KEY_OF_PAGES]
    implied = wanted.until is not None and wanted.until > after.ts
    return [*_conditions(replace(wanted, until=None) if implied else wanted), _place(after) > _KEY_OF_PAGES]


def _place(position: Position) -> Tuple:
    return tuple_(literal(position.ts, UtcDateTime), literal(position.message_id))


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
