"""The table of consumers, the parts of the feed that pass their filters, and how far they are behind."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, delete, func, insert, select, update

from webhook_service.domain.consumers import Consumer, ConsumerKind, ConsumerOptions, FeedFilter, Lag
from webhook_service.domain.limits import LAG_MAX, ROW_ID_MAX
from webhook_service.domain.messages import StoredMessage
from webhook_service.storage.consumer_models import ConsumerRow, StretchRow
from webhook_service.storage.destination_models import RetryRow
from webhook_service.storage.models import MessageRow
from webhook_service.storage.queries.messages import (
    FOR_PROGRAMS,
    SELECT_MESSAGES,
    end_of_window,
    newest_place,
    to_messages,
)
from webhook_service.storage.writing import Transaction

LAG_WINDOW = 100_000  # messages that one statement examines to count those that pass a filter

_consumers = select(
    ConsumerRow.id,
    ConsumerRow.kind,
    ConsumerRow.name,
    ConsumerRow.filter,
    ConsumerRow.max_leases,
    ConsumerRow.max_attempts,
    ConsumerRow.handed,
    ConsumerRow.created_at,
)
# These statements are made once: SQLAlchemy takes longer to make one than SQLite takes to execute it.
_named = _consumers.where(ConsumerRow.kind == bindparam("kind"), ConsumerRow.name == bindparam("name"))
# SQLite has no such lock, and needs none since its writers take turns; SQLAlchemy leaves it out there.
_to_change = _named.with_for_update()
_of_kind = _consumers.where(ConsumerRow.kind == bindparam("kind")).order_by(ConsumerRow.name)
_all = _consumers.order_by(ConsumerRow.kind, ConsumerRow.name)
_move = update(ConsumerRow).where(ConsumerRow.id == bindparam("consumer"))
_within = (MessageRow.id > bindparam("after"), MessageRow.id <= bindparam("last"), FOR_PROGRAMS)
_all_ids = (
    select(MessageRow.id)
    .where(MessageRow.id > bindparam("after"), FOR_PROGRAMS)
    .order_by(MessageRow.id)
    .limit(bindparam("most"))
)
_ids = _all_ids.where(MessageRow.id <= bindparam("last"))
_stretch = SELECT_MESSAGES.where(*_within).order_by(MessageRow.id)


def _counted(ids: Select[int]) -> Select[int, int | None]:
    counted = ids.subquery()
    return select(func.count(), func.max(counted.c.id))


@cache
def _select_counted(names: tuple[str, ...], *, is_bounded: bool) -> Select[int, int | None]:
    return _counted((_ids if is_bounded else _all_ids).where(*_conditions(names)))


@cache
def _select_stretch(names: tuple[str, ...]) -> Select[*tuple[Any, ...]]:
    return _stretch.where(*_conditions(names))


def _conditions(names: Iterable[str]) -> list[ColumnElement[bool]]:
    """Returns the conditions of a filter on these fields, each on an expression that no index covers.

    The values are parameters with the names of the fields.

    The work stays within a window of ids only if the database reads in their order: a planner that chose the index on
    senders would sort all messages of a sender to find the next ten.
    """
    columns: dict[str, ColumnElement[Any]] = {**MessageRow.__table__.columns}
    columns["provider"] = func.coalesce(MessageRow.provider, MessageRow.source)  # it goes unwritten where both are one
    return [columns[name].concat("") == bindparam(name) for name in names]


def find_consumer(connection: Connection, kind: ConsumerKind, name: str, *, lock: bool = False) -> Consumer | None:
    """Reads a consumer. With ``lock``, no other transaction changes it or what it was given before this one ends."""
    if "\x00" in name:  # no name has NUL, and PostgreSQL refuses it as a parameter
        return None
    row = connection.execute(_to_change if lock else _named, {"kind": kind.value, "name": name}).one_or_none()
    return None if row is None else _consumer(*row)


def list_consumers(connection: Connection, kind: ConsumerKind | None = None) -> list[Consumer]:
    """Reads all consumers, or those of a kind, by name."""
    rows = connection.execute(_all) if kind is None else connection.execute(_of_kind, {"kind": kind.value})
    return [_consumer(*row) for row in rows]


def _consumer(
    consumer_id: int,
    kind: str,
    name: str,
    conditions: dict[str, str],
    max_leases: int,
    max_attempts: int,
    given_up_to: int,
    created_at: datetime,
) -> Consumer:
    options = ConsumerOptions(FeedFilter(**conditions), max_leases, max_attempts)
    return Consumer(consumer_id, ConsumerKind(kind), name, options, given_up_to, created_at)


def insert_consumer(
    transaction: Transaction, kind: ConsumerKind, name: str, options: ConsumerOptions, given_up_to: int, now: datetime
) -> None:
    """Stores a new consumer that begins after the id ``given_up_to``."""
    new = {"kind": kind.value, "name": name, "handed": given_up_to, "created_at": now, **_columns(options)}
    transaction.execute(insert(ConsumerRow).values(new))


def change_consumer(transaction: Transaction, consumer: Consumer, options: ConsumerOptions) -> None:
    """Changes the options of a consumer."""
    transaction.execute(update(ConsumerRow).where(ConsumerRow.id == consumer.id).values(_columns(options)))


def _columns(options: ConsumerOptions) -> dict[str, object]:
    return {
        "filter": options.filter.conditions(),
        "max_leases": options.max_leases,
        "max_attempts": options.max_attempts,
    }


def delete_consumer(transaction: Transaction, consumer: Consumer) -> None:
    """Deletes a consumer with its stretches, its dead letters and, of a destination, its health and its retries."""
    transaction.execute(delete(ConsumerRow).where(ConsumerRow.id == consumer.id))


def set_given_up_to(transaction: Transaction, consumer: Consumer, given_up_to: int) -> None:
    """Notes the id up to which the feed was given to a consumer."""
    transaction.execute(_move, {"consumer": consumer.id, "handed": given_up_to})


def read_place(connection: Connection, consumer: Consumer) -> int:
    """Reads the id up to which a consumer has acknowledged all that it gets, or has it waiting for another attempt."""
    oldest = connection.scalar(select(func.min(StretchRow.after)).where(StretchRow.consumer_id == consumer.id))
    return consumer.given_up_to if oldest is None else min(oldest, consumer.given_up_to)


def read_done_up_to(connection: Connection) -> dict[str, int]:
    """Reads the id up to which every consumer and destination has had all that it gets; the keys are ``<kind> <name>``.

    That is its place, unless a destination has an earlier message that waits for another attempt.
    """
    return {f"{each.kind} {each.name}": _done_up_to(connection, each) for each in list_consumers(connection)}


def _done_up_to(connection: Connection, consumer: Consumer) -> int:
    place = read_place(connection, consumer)
    waiting = connection.scalar(select(func.min(RetryRow.feed_id)).where(RetryRow.consumer_id == consumer.id))
    return place if waiting is None else min(place, waiting - 1)


def count_up_to(
    connection: Connection, wanted: FeedFilter, after: int, last: int, most: int, besides: Sequence[int] = ()
) -> tuple[int, int]:
    """Counts the messages above ``after`` and up to ``last`` that pass a filter, up to ``most`` of them.

    Those with an id in ``besides`` are left out. Returns the number, and the id of the last message that was counted:
    ``after`` if there is none.
    """
    values = wanted.conditions()
    # Without statistics PostgreSQL takes a range for small, however wide it is, and would read all of it and sort it.
    counted = _select_counted(tuple(values), is_bounded=last < ROW_ID_MAX)
    if besides:
        counted = _counted(_ids.where(*_conditions(values), MessageRow.id.not_in(besides)))
    number, end = connection.execute(counted, {"after": after, "last": last, "most": most, **values}).one()
    return number, after if end is None else end


def find_ids_of(
    connection: Connection, wanted: FeedFilter, after: int, last: int, message_ids: Sequence[str]
) -> dict[str, int]:
    """Reads, by ID, the ids of those messages with these IDs that are above ``after`` and up to ``last``."""
    values = wanted.conditions()
    found = select(MessageRow.message_id, MessageRow.id).where(
        MessageRow.message_id.in_(message_ids), *_within, *_conditions(values)
    )
    return {row[0]: row[1] for row in connection.execute(found, {"after": after, "last": last, **values})}


def find_id_at(connection: Connection, moment: datetime) -> int | None:
    """Reads the id of the first message that was received at a moment or later.

    This examines every message before that one: the clocks of nodes differ and imported messages keep their time, so
    times don't grow in the order of ids.
    """
    return connection.scalar(select(func.min(MessageRow.id)).where(MessageRow.received_at >= moment))


def find_id_of(connection: Connection, message_id: str) -> int | None:
    """Reads the id of the message with this ID."""
    if "\x00" in message_id:  # no stored text holds NUL, and PostgreSQL refuses it as a parameter
        return None
    return connection.scalar(select(MessageRow.id).where(MessageRow.message_id == message_id))


def read_stretch(connection: Connection, wanted: FeedFilter, after: int, last: int) -> list[StoredMessage]:
    """Reads the messages with an id above ``after`` and up to ``last`` that pass a filter, in stored order."""
    values = wanted.conditions()
    stretch = _select_stretch(tuple(values))
    return to_messages(connection.execute(stretch, {"after": after, "last": last, **values}))


def read_lag(connection: Connection, consumer: Consumer, now: datetime) -> Lag:
    """Reads how far a consumer is behind, by what it has not acknowledged and what it was not given yet.

    Counts up to ``LAG_MAX`` messages. For those that pass a filter, it examines at most ``LAG_WINDOW``.
    """
    values = consumer.options.filter.conditions()
    end = end_of_window(connection, consumer.given_up_to, LAG_WINDOW if values else LAG_MAX + 1)
    rest = select(MessageRow.id, MessageRow.received_at).where(*_within)
    parts = [
        part.where(*_conditions(values)).params(after=consumer.given_up_to, last=end, **values)
        for part in (_given(consumer), rest)
    ]
    messages = sum(_count(connection, part) for part in parts)
    first = next((row for part in parts if (row := _first(connection, part)) is not None), None)
    seconds = 0.0 if first is None else max(0.0, (now - first).total_seconds())
    return Lag(min(messages, LAG_MAX), messages <= LAG_MAX and end >= newest_place(connection), seconds)


def _given(consumer: Consumer) -> Select[int, datetime]:
    """Selects the messages that a consumer was given and has not acknowledged, and those that its filter leaves out."""
    is_within = (MessageRow.id > StretchRow.after) & (MessageRow.id <= StretchRow.last)
    return (
        select(MessageRow.id, MessageRow.received_at)
        .join_from(StretchRow, MessageRow, is_within)
        .where(StretchRow.consumer_id == consumer.id, FOR_PROGRAMS)
    )


def _count(connection: Connection, messages: Select[int, datetime]) -> int:
    return connection.scalars(select(func.count()).select_from(messages.limit(LAG_MAX + 1).subquery())).one()


def _first(connection: Connection, messages: Select[int, datetime]) -> datetime | None:
    row = connection.execute(messages.order_by(MessageRow.id).limit(1)).one_or_none()
    return None if row is None else row[1]
