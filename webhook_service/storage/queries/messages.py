"""The table of messages: storing them, reading one, and reading the feed."""

import json
from collections.abc import Sequence
from hashlib import blake2s
from itertools import starmap
from typing import Any, cast

from sqlalchemy import Connection, Result, Table, bindparam, func, select, update

from webhook_service.domain.limits import MESSAGE_ID_MAX
from webhook_service.domain.messages import Message, StoredMessage
from webhook_service.domain.results import Outcome
from webhook_service.domain.search import fold
from webhook_service.storage.models import MessageRow, read_columns
from webhook_service.storage.queries.conflicts import COMPARED, find_different
from webhook_service.storage.queries.insert import Row, insert_new, json_value, rows_in_a_statement, timestamp_value
from webhook_service.storage.writing import Executor, Transaction

_table = cast("Table", MessageRow.__table__)
_COLUMNS = (
    "message_id",
    "source",
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
WINDOW = 10_000  # messages of the feed that one statement searches for those that pass a filter
RENAMED_DIGEST = 8  # bytes of the digest in a renamed message's ID
MESSAGES_IN_A_STATEMENT = rows_in_a_statement(_COLUMNS)
SELECT_MESSAGES = select(*read_columns(MessageRow, StoredMessage._fields))
# Without statistics, as after a restore, PostgreSQL takes IS NULL for one row in 200, and reads and sorts whole tables.
FOR_PROGRAMS = MessageRow.is_test.is_not(True)
"""The condition of every query that gives messages to programs, such as the feed: no test messages."""
# These are made once: to make one takes SQLAlchemy longer than SQLite takes to execute it.
_newest = select(func.max(MessageRow.id))
_window = select(MessageRow.id).where(MessageRow.id > bindparam("after")).order_by(MessageRow.id).limit(1)
_end_of_window = select(
    func.coalesce(_window.offset(bindparam("before")).scalar_subquery(), _newest.scalar_subquery(), 0)
)
_newest_for_programs = select(MessageRow.id).where(FOR_PROGRAMS).order_by(MessageRow.id.desc()).limit(1)


def encode_message(message: Message, source: str | None = None) -> Row:
    """Converts a message to a row for ``insert_messages``; this is all the work that needs no transaction.

    ``source`` is that of the delivery; it is used for a message that names no source itself.
    """
    source = message.source or source or message.provider
    return (
        message.message_id,
        source,
        None if message.provider == source else message.provider,
        message.sender,
        message.recipient,
        timestamp_value(message.ts),
        message.text,
        None if message.text is None else fold(message.text),
        message.type,
        json_value(message.extra),
        timestamp_value(message.received_at),
    )


def insert_messages(executor: Executor, rows: Sequence[Row]) -> list[Outcome]:
    """Stores each message whose ID is new; returns the outcome of each, in order.

    A message whose ID is not new is compared with the one that has the ID. If that was deleted meanwhile, the ID is new
    again.
    """
    outcomes = insert_new(executor, _table, _COLUMNS, len(_KEY), rows)
    if Outcome.DUPLICATE not in outcomes:
        return outcomes
    not_new = [place for place, outcome in enumerate(outcomes) if outcome is Outcome.DUPLICATE]
    compared = [tuple(rows[place][column] for column in _COMPARED) for place in not_new]
    free = []
    for index, is_gone in find_different(executor, compared):
        if is_gone:
            free.append(not_new[index])
        else:
            outcomes[not_new[index]] = Outcome.CONFLICT
    for place, outcome in zip(free, insert_messages(executor, [rows[place] for place in free]), strict=True):
        outcomes[place] = outcome
    return outcomes


def rename_message(row: Row) -> Row:
    """Returns the row with an ID of its own: the ID that it has, `~` and a digest of the message's content.

    The same message gets the same ID each time, so it is stored only once.
    """
    said_of = dict(zip(COMPARED, (row[column] for column in _COMPARED), strict=True))
    received_at = said_of.pop("received_at")
    if said_of["provider"] is None:  # the provider is the source's namesake
        del said_of["provider"]
    said = json.dumps([word for word in said_of.values() if word != received_at])
    digest = blake2s(said.encode(), digest_size=RENAMED_DIGEST).hexdigest()
    return (f"{str(row[0])[: MESSAGE_ID_MAX - len(digest) - 1]}~{digest}", *row[1:])


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


def read_feed_of(connection: Connection, source: str | None, after: int, limit: int) -> tuple[list[StoredMessage], int]:
    """Reads the feed as ``read_feed`` does, or only that of one source; also returns the place that was reached.

    For one source it searches a window of the feed, so that an answer takes no longer for a source that sends little.
    The window may hold no message of the source and yet end before the feed does.
    """
    if source is None:
        messages = read_feed(connection, after, limit)
        return messages, messages[-1].id if messages else after
    end = end_of_window(connection, after)
    # The function hides the column from the index, or a database might read all of a source's messages and sort them.
    is_of_source = func.coalesce(MessageRow.source, "") == source
    in_window = SELECT_MESSAGES.where(MessageRow.id > after, MessageRow.id <= end, is_of_source, FOR_PROGRAMS)
    messages = to_messages(connection.execute(in_window.order_by(MessageRow.id).limit(limit)))
    return messages, messages[-1].id if len(messages) == limit else end


def end_of_window(connection: Connection, after: int, size: int = WINDOW) -> int:
    """Reads the id of the last of ``size`` messages after an id, or of the newest message if there are fewer."""
    return max(after, connection.scalar(_end_of_window, {"after": after, "before": size - 1}) or 0)


def mark_as_test(transaction: Transaction, message_ids: Sequence[str]) -> None:
    """Marks messages that this transaction has stored as test messages."""
    transaction.execute(update(MessageRow).where(MessageRow.message_id.in_(message_ids)).values(is_test=True))


def read_newest(connection: Connection, after: int, limit: int) -> list[StoredMessage]:
    """Reads the newest messages stored after the one with the id ``after``, test messages included, newest first.

    If it returns ``limit`` messages, there may be more.
    """
    newest = SELECT_MESSAGES.where(MessageRow.id > after).order_by(MessageRow.id.desc()).limit(limit)
    return to_messages(connection.execute(newest))


def newest_place(connection: Connection) -> int:
    """Reads the id of the newest message, after which the feed has none yet; 0 if it is empty."""
    return connection.scalar(_newest) or 0


def newest_for_programs(connection: Connection) -> int:
    """Reads the id of the newest message that is no test message; 0 if there is none."""
    return connection.scalar(_newest_for_programs) or 0


def newest_by_source(connection: Connection, after: int, last: int) -> dict[str, int]:
    """Reads the id of each source's newest message among those with an id above ``after`` and up to ``last``.

    Test messages are left out.
    """
    # The function hides the column from the index, or a database might read all messages of every source.
    source = func.coalesce(MessageRow.source, "")
    in_range = select(source, func.max(MessageRow.id)).where(MessageRow.id > after, MessageRow.id <= last, FOR_PROGRAMS)
    return dict(connection.execute(in_range.group_by(source)).all())


def to_messages(result: Result[*tuple[Any, ...]]) -> list[StoredMessage]:
    """Converts the result of ``SELECT_MESSAGES``; fetching it row by row would take half as long again."""
    return list(starmap(StoredMessage, result.all()))
