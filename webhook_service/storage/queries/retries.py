"""The table of retries: messages that a destination has not taken yet, and those of the same sender behind them.

``next_at`` is null for a message that waits for an earlier one of its sender. Whoever writes here has to hold the lock
on the consumer's row, so that no message is added behind one that is just being deleted.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import starmap
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from webhook_service.domain.destinations import HELD_MOST, Retry, WaitingMessage
from webhook_service.domain.messages import StoredMessage
from webhook_service.storage.consumer_models import StretchRow
from webhook_service.storage.destination_models import RetryRow
from webhook_service.storage.models import MessageRow, UtcDateTime
from webhook_service.storage.queries.messages import FOR_PROGRAMS, SELECT_MESSAGES, to_messages
from webhook_service.storage.writing import Transaction

ORPHANS_LOOK = 200  # senders that one statement looks at
SENDERS_AT_ONCE = 20  # whose messages behind those that are due are taken with them; each is a statement

_retries: Select[Any] = select(RetryRow.id, RetryRow.feed_id, RetryRow.sender, RetryRow.attempts, RetryRow.first_at)
_of_destination = RetryRow.consumer_id == bindparam("consumer")
_feed_ids: BindParameter[Any] = bindparam("feed_ids", expanding=True)
_is_free = or_(
    RetryRow.taken_until.is_(None),
    RetryRow.taken_until <= bindparam("now"),
    RetryRow.taken_until > bindparam("held_most"),
)


def _select_firsts() -> Select[Any]:
    """Selects senders from ``begin`` on, in order, and when the first message of each that waits is tried.

    It goes from sender to sender along the index, however many messages of each wait.
    """
    begin = select(func.min(RetryRow.sender).label("sender")).where(
        _of_destination, RetryRow.sender >= bindparam("begin")
    )
    senders = begin.cte("senders", recursive=True)
    following = select(func.min(RetryRow.sender)).where(_of_destination, RetryRow.sender > senders.c.sender)
    senders = senders.union_all(select(following.scalar_subquery()).where(senders.c.sender.is_not(None)))
    of_sender = select(RetryRow.next_at).where(_of_destination, RetryRow.sender == senders.c.sender)
    next_at = of_sender.order_by(RetryRow.feed_id).limit(1).scalar_subquery()
    return select(senders.c.sender, next_at).where(senders.c.sender.is_not(None)).limit(ORPHANS_LOOK)


def _select_first_elsewhere() -> Select[str, int]:
    is_within = (MessageRow.id > StretchRow.after) & (MessageRow.id <= StretchRow.last)
    of_others = StretchRow.token.not_in(bindparam("own", expanding=True))
    others = or_(of_others, StretchRow.token.is_(None) & (StretchRow.attempt > 0))
    waits = select(RetryRow.id).where(_of_destination, RetryRow.feed_id == MessageRow.id)
    return (
        select(MessageRow.sender, func.min(MessageRow.id))
        .join_from(StretchRow, MessageRow, is_within)
        .where(StretchRow.consumer_id == bindparam("consumer"), StretchRow.after < bindparam("before"))
        .where(others, FOR_PROGRAMS, MessageRow.sender.in_(bindparam("senders", expanding=True)), ~waits.exists())
        .group_by(MessageRow.sender)
    )


def _select_has_due() -> Select[bool]:
    is_due = RetryRow.next_at <= bindparam("now")
    due = select(RetryRow.id).where(_of_destination, is_due, _is_free)
    too_late = select(RetryRow.id).where(_of_destination, RetryRow.next_at > bindparam("latest"))
    return select(or_(due.exists(), too_late.exists()))


# These statements are made once: SQLAlchemy takes longer to make one than SQLite takes to execute it.
_waiting_ids = select(RetryRow.feed_id).where(_of_destination, RetryRow.feed_id.in_(_feed_ids))
_first_of_sender = (
    select(func.min(RetryRow.feed_id))
    .where(_of_destination, RetryRow.sender == MessageRow.sender)
    .where(RetryRow.feed_id.not_in(bindparam("besides", expanding=True)))
)
_first_waiting = select(MessageRow.sender, _first_of_sender.scalar_subquery()).where(MessageRow.id.in_(_feed_ids))
_first_elsewhere = _select_first_elsewhere()
_firsts = _select_firsts()
_has_due = _select_has_due()
_besides = RetryRow.id.not_in(bindparam("besides", expanding=True))
_free_ones = _retries.where(_of_destination, _is_free, _besides).limit(bindparam("most"))
_any_free = _free_ones.where(RetryRow.next_at.is_not(None)).order_by(RetryRow.next_at, RetryRow.id)
_due = _any_free.where(RetryRow.next_at <= bindparam("now"))
_behind = _free_ones.where(RetryRow.sender == bindparam("sender"), RetryRow.next_at.is_(None)).order_by(
    RetryRow.feed_id
)
_bring_forward = update(RetryRow).where(_of_destination, RetryRow.next_at > bindparam("latest"))


def add_retries(transaction: Transaction, consumer_id: int, rows: Sequence[dict[str, Any]]) -> None:
    """Stores messages that have to wait, unless they are waiting already or were deleted meanwhile."""
    by_id = {row["feed_id"]: {"consumer_id": consumer_id, **row} for row in rows}
    waiting = select(RetryRow.feed_id).where(RetryRow.consumer_id == consumer_id, RetryRow.feed_id.in_(by_id))
    for feed_id in transaction.scalars(waiting).all():
        del by_id[feed_id]
    # The lock lasts until the rows are stored: a message that is being deleted is gone, or takes its row along.
    still_there = select(MessageRow.id).where(MessageRow.id.in_(by_id)).with_for_update(read=True, key_share=True)
    new = [by_id[feed_id] for feed_id in sorted(transaction.scalars(still_there))]
    if new:
        transaction.execute(insert(RetryRow), new)


def change_retry(transaction: Transaction, retry: Retry, next_at: datetime) -> None:
    """Stores the attempts of a message, and has it tried again from ``next_at`` on.

    If it was queued behind another meanwhile, it waits for that one. If another forwarder has taken it over, nothing is
    stored.
    """
    later = case((RetryRow.next_at.is_not(None), literal(next_at, UtcDateTime)))
    values = {"attempts": list(retry.attempts), "first_at": retry.first_at, "next_at": later, "taken_until": None}
    transaction.execute(update(RetryRow).where(*_still_taken(retry)).values(values))


def free_retry(transaction: Transaction, retry: Retry) -> None:
    """Lets any forwarder take a message that was taken and not pushed, unless one has taken it over."""
    transaction.execute(update(RetryRow).where(*_still_taken(retry)).values(taken_until=None))


def _still_taken(retry: Retry) -> tuple[ColumnElement[bool], ...]:
    return RetryRow.id == retry.id, RetryRow.taken_until == retry.taken_until


def delete_retry(transaction: Transaction, consumer_id: int, retry: Retry, now: datetime) -> bool:
    """Deletes a message that was accepted or can't be, and makes the next of its sender due; False when it is gone."""
    is_there = transaction.execute(delete(RetryRow).where(RetryRow.id == retry.id)).rowcount > 0
    make_first_due(transaction, consumer_id, retry.sender, now)
    return is_there


def delete_retries(transaction: Transaction, consumer_id: int, after: int) -> None:
    """Deletes the messages that wait and come after an id of the feed."""
    transaction.execute(delete(RetryRow).where(RetryRow.consumer_id == consumer_id, RetryRow.feed_id > after))


def find_retries(connection: Connection, ids: Collection[int]) -> set[int]:
    """Reads which of these messages still wait, by the ids of their rows."""
    return set(connection.scalars(select(RetryRow.id).where(RetryRow.id.in_(ids)))) if ids else set()


def make_first_due(transaction: Transaction, consumer_id: int, sender: str, now: datetime) -> None:
    """Makes the first waiting message of a sender due, unless it has a time already."""
    of_sender = RetryRow.consumer_id == consumer_id, RetryRow.sender == sender
    first = RetryRow.feed_id == select(func.min(RetryRow.feed_id)).where(*of_sender).scalar_subquery()
    transaction.execute(
        update(RetryRow)
        .where(RetryRow.consumer_id == consumer_id, first, RetryRow.next_at.is_(None))
        .values(next_at=now)
    )


def queue_behind(transaction: Transaction, consumer_id: int, feed_ids: Collection[int]) -> None:
    """Lets waiting messages wait for an earlier one of their sender instead of for their time."""
    behind = RetryRow.consumer_id == consumer_id, RetryRow.feed_id.in_(feed_ids)
    transaction.execute(update(RetryRow).where(*behind).values(next_at=None))


def find_orphans(connection: Connection, consumer_id: int, begin: str) -> tuple[list[str], str]:
    """Finds senders, from one on, whose messages all wait for an earlier one that was deleted.

    Returns them, and the sender at which the next look begins.
    """
    firsts = connection.execute(_firsts, {"consumer": consumer_id, "begin": begin}).all()
    orphans = [sender for sender, next_at in firsts if next_at is None]
    return orphans, firsts[-1][0] if len(firsts) == ORPHANS_LOOK else ""


def take_due(
    transaction: Transaction,
    consumer_id: int,
    now: datetime,
    until: datetime,
    limit: int,
    *,
    early: bool = False,
    besides: Collection[int] = (),
) -> list[Retry]:
    """Takes at most ``limit`` messages until the time ``until``: those that are due, and those behind them.

    Those behind are of the same senders, of a few of them at a time. With ``early``, messages that are not due yet are
    taken, too. None is taken whose id is in ``besides``.
    """
    values = {"consumer": consumer_id, "now": now, "held_most": now + HELD_MOST, "besides": list(besides)}
    rows = list(transaction.execute(_any_free if early else _due, {**values, "most": limit}))
    senders = list(dict.fromkeys(row.sender for row in rows))[: min(SENDERS_AT_ONCE, limit - len(rows))]
    for left, sender in zip(range(len(senders), 0, -1), senders, strict=True):
        # Each sender by itself, so that the index gives its first messages, however many of it wait.
        share = -(-(limit - len(rows)) // left)
        rows += transaction.execute(_behind, {**values, "sender": sender, "most": share})
    taken = [replace(Retry(*row), taken_until=until) for row in rows]
    if taken:
        ids = [retry.id for retry in taken]
        transaction.execute(update(RetryRow).where(RetryRow.id.in_(ids)).values(taken_until=until))
    return taken


def bring_forward(transaction: Transaction, consumer_id: int, now: datetime, latest: datetime) -> None:
    """Makes messages due that would wait longer than any may, since the clock was ahead and has been set back."""
    transaction.execute(_bring_forward, {"consumer": consumer_id, "latest": latest, "next_at": now})


def make_all_due(transaction: Transaction, consumer_id: int, now: datetime) -> None:
    """Makes all messages due that wait for their time, since the destination is back."""
    waiting = RetryRow.consumer_id == consumer_id, RetryRow.next_at > now
    transaction.execute(update(RetryRow).where(*waiting).values(next_at=now))


def find_waiting_ids(connection: Connection, consumer_id: int, feed_ids: Collection[int]) -> set[int]:
    """Reads which of these messages wait."""
    return set(connection.scalars(_waiting_ids, {"consumer": consumer_id, "feed_ids": list(feed_ids)}))


def find_first_waiting_by_sender(
    connection: Connection, consumer_id: int, feed_ids: Collection[int], besides: Collection[int] = ()
) -> dict[str, int]:
    """Reads the first waiting message of each sender of these messages; senders without one are left out.

    No message counts whose id in the feed is in ``besides``.
    """
    values = {"consumer": consumer_id, "feed_ids": list(feed_ids), "besides": list(besides)}
    found = connection.execute(_first_waiting, values)
    return {sender: feed_id for sender, feed_id in found if feed_id is not None}


def find_first_elsewhere_by_sender(
    connection: Connection, consumer_id: int, before: int, own: Iterable[str], senders: Collection[str]
) -> dict[str, int]:
    """Reads the first message of each sender in stretches that begin before an id, except the forwarder's own leases.

    Messages that wait for another attempt are left out. So are stretches that were asked for again and never given
    since: they have no place in the order, and there may be many.
    """
    values = {"consumer": consumer_id, "before": before, "own": list(own), "senders": list(senders)}
    return {row[0]: row[1] for row in connection.execute(_first_elsewhere, values)}


def has_due(connection: Connection, consumer_id: int, now: datetime, latest: datetime) -> bool:
    """Tells whether any message of a destination is due, or would wait until after the ``latest`` time that one may."""
    values = {"consumer": consumer_id, "now": now, "held_most": now + HELD_MOST, "latest": latest}
    return connection.scalars(_has_due, values).one()


def count_retries(connection: Connection, consumer_id: int, most: int) -> int:
    """Counts the waiting messages of a destination, up to ``most`` of them."""
    waiting = select(RetryRow.id).where(RetryRow.consumer_id == consumer_id).limit(most)
    return connection.scalars(select(func.count()).select_from(waiting.subquery())).one()


def list_retries(connection: Connection, consumer_id: int, limit: int) -> list[WaitingMessage]:
    """Reads the waiting messages of a destination, oldest first."""
    waiting = (
        select(MessageRow.message_id, RetryRow.sender, RetryRow.attempts, RetryRow.next_at)
        .join_from(RetryRow, MessageRow)
        .where(RetryRow.consumer_id == consumer_id)
        .order_by(RetryRow.feed_id)
        .limit(limit)
    )
    return list(starmap(WaitingMessage, connection.execute(waiting)))


def read_messages(connection: Connection, feed_ids: Collection[int]) -> list[StoredMessage]:
    """Reads messages by their ids in the feed, in stored order."""
    return to_messages(connection.execute(SELECT_MESSAGES.where(MessageRow.id.in_(feed_ids)).order_by(MessageRow.id)))
