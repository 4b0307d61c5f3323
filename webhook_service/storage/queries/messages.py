"""The table of messages: storing them, reading one, and reading the feed."""

import json
from collections.abc import Iterable, Sequence
from hashlib import blake2s
from itertools import starmap
from typing import Any, cast
from unicodedata import normalize

from sqlalchemy import Connection, Table, func, select, update
from sqlalchemy import Row as ResultRow

from webhook_service.domain.limits import MESSAGE_ID_MAX
from webhook_service.domain.messages import Message, StoredMessage
from webhook_service.domain.results import Outcome
from webhook_service.storage.models import MessageRow, read_columns
from webhook_service.storage.queries.conflicts import COMPARED, find_different
from webhook_service.storage.queries.insert import Row, insert_new, rows_in_a_statement, timestamp_value
from webhook_service.storage.writing import Executor, Transaction

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
_COMPARED = tuple(_COLUMNS.index(name) for name in COMPARED)
RENAMED_DIGEST = 8  # bytes
MESSAGES_IN_A_STATEMENT = rows_in_a_statement(_COLUMNS)
SELECT_MESSAGES = select(*read_columns(MessageRow, StoredMessage._fields))
FOR_PROGRAMS = MessageRow.is_test.is_(None)
"""The condition of whatever gives messages to programs, such as the feed: none of them is a test message."""


def encode_message(message: Message) -> Row:
    """Converts a message to a row for ``insert_messages``; all work that needs no transaction is done here."""
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
    """Stores each message whose ID is new; returns the outcome of each, in order.

    Only when an ID is not new is the message that has it compared. Raises StorageBusy when that was deleted meanwhile.
    """
    outcomes = insert_new(executor, _table, _COLUMNS, len(_KEY), rows)
    if Outcome.DUPLICATE not in outcomes:
        return outcomes
    not_new = [place for place, outcome in enumerate(outcomes) if outcome is Outcome.DUPLICATE]
    compared = [tuple(rows[place][column] for column in _COMPARED) for place in not_new]
    for index in find_different(executor, compared):
        outcomes[not_new[index]] = Outcome.CONFLICT
    return outcomes


def rename_message(row: Row) -> Row:
    """Returns the row under an ID of its own: the ID that it has, `~` and a digest of what the message says.

    The same message gets the same ID each time, so it is stored once.
    """
    *words, received_at = (row[column] for column in _COMPARED)
    said = json.dumps([word for word in words if word != received_at])
    digest = blake2s(said.encode(), digest_size=RENAMED_DIGEST).hexdigest()
    return (f"{str(row[0])[: MESSAGE_ID_MAX - len(digest) - 1]}~{digest}", *row[1:])


def fold(text: str) -> str:
    """Folds the case of a text for search, alike for every database.

    The rules are Unicode's (chapter 3.13, canonical caseless matching); both the dotted and the dotless i of Turkish
    are folded to i.
    """
    if text.isascii():
        return text.lower()
    folded = normalize("NFC", normalize("NFC", text).casefold())
    return folded.replace("i\u0307", "i").replace("\u0131", "i")


def find_message(connection: Connection, message_id: str) -> StoredMessage | None:
    """Reads the message with this ID."""
    if "\x00" in message_id:  # no stored text holds NUL, and PostgreSQL refuses it as a parameter
        return None
    row = connection.execute(SELECT_MESSAGES.where(MessageRow.message_id == message_id)).one_or_none()
    return None if row is None else StoredMessage(*row)


def read_feed(connection: Connection, after: int, limit: int) -> list[StoredMessage]:
    """Reads the first ``limit`` messages that were stored after the one with the id ``after``; 0 is before the first.

    Test messages are left out.

    Writers take turns, each for a whole transaction: on SQLite there is one writer, on PostgreSQL an advisory lock. Ids
    are assigned within a turn, so they become visible in ascending order, whatever the number of nodes, and no message
    with a smaller id appears after a larger one was read.
    """
    page = SELECT_MESSAGES.where(MessageRow.id > after, FOR_PROGRAMS).order_by(MessageRow.id).limit(limit)
    return to_messages(connection.execute(page))


def mark_as_test(transaction: Transaction, message_ids: Sequence[str]) -> None:
    """Marks messages that this transaction has stored as test messages."""
    transaction.execute(update(MessageRow).where(MessageRow.message_id.in_(message_ids)).values(is_test=True))


def read_newest(connection: Connection, after: int, limit: int) -> list[StoredMessage]:
    """Reads the newest messages that were stored after the one with the id ``after``, test messages too, newest first.

    There may be more than these when there are ``limit`` of them.
    """
    newest = SELECT_MESSAGES.where(MessageRow.id > after).order_by(MessageRow.id.desc()).limit(limit)
    return to_messages(connection.execute(newest))


def newest_place(connection: Connection) -> int:
    """Reads the id after which the feed has no message yet."""
    return connection.scalar(select(func.max(MessageRow.id))) or 0


def to_messages(rows: Iterable[ResultRow[Any]]) -> list[StoredMessage]:
    """Converts rows of ``SELECT_MESSAGES``."""
    return list(starmap(StoredMessage, rows))
