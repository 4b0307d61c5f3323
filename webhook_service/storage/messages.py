"""Messages in and out of their table."""

import json
from collections.abc import Iterable, Sequence
from itertools import starmap
from typing import Any, cast
from unicodedata import normalize

from sqlalchemy import Connection, Select, Table, select
from sqlalchemy import Row as ResultRow

from webhook_service.domain import Message, Outcome, StoredMessage
from webhook_service.storage.insert import Executor, Row, insert_new, rows_in_a_statement, timestamp_value
from webhook_service.storage.models import MessageRow, read_columns

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


def encode_message(message: Message) -> Row:
    """Makes a message the row that ``insert_messages`` takes; work that needs no transaction is done here."""
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
    """Stores each message whose ID is new; returns the outcome of each, in order."""
    return insert_new(executor, _table, _COLUMNS, len(_KEY), rows)


def fold(text: str) -> str:
    """Folds the case of a text as search compares it, the same whatever the database.

    By Unicode's rules (chapter 3.13, canonical caseless matching); Turkish's dotted and dotless i are both an i.
    """
    if text.isascii():
        return text.lower()
    folded = normalize("NFC", normalize("NFC", text).casefold())
    return folded.replace("i\u0307", "i").replace("\u0131", "i")


def find_message(connection: Connection, message_id: str) -> StoredMessage | None:
    """Reads the message with this ID."""
    if "\x00" in message_id:  # no text of a database holds it, and PostgreSQL refuses the question
        return None
    row = connection.execute(select_messages().where(MessageRow.message_id == message_id)).one_or_none()
    return None if row is None else StoredMessage(*row)


def read_feed(connection: Connection, after: int, limit: int) -> list[StoredMessage]:
    """Reads the first messages that were stored after the one with that id; 0 is before all.

    Writers take turns for a whole transaction, on SQLite by its one writer and on PostgreSQL by the advisory lock, and
    an id is given inside a turn. So ids become visible in the order in which they are given, by however many nodes,
    and no message with a smaller id can appear after a larger one was read.
    """
    page = select_messages().where(MessageRow.id > after).order_by(MessageRow.id).limit(limit)
    return to_messages(connection.execute(page))


def select_messages() -> Select[Any]:
    """A query for messages as ``to_messages`` takes them."""
    return select(*read_columns(MessageRow, StoredMessage._fields))


def to_messages(rows: Iterable[ResultRow[Any]]) -> list[StoredMessage]:
    """Makes messages of the rows of a query that was made with ``select_messages``."""
    return list(starmap(StoredMessage, rows))
