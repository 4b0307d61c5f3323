"""Pages of the messages that hold a part of a text, common or rare.

The index of the trigrams gives all messages that hold it, but in no order: good for a rare word, and a waste for one
that half of the messages hold, of which a page needs a few. Those are soon found by going along the order of the page.
So a search goes along for a bounded stretch first, and asks the index for what lies beyond only if that did not fill
the page.
"""

from dataclasses import replace

from sqlalchemy import Connection, select

from webhook_service.domain import MessageFilter, Order, Position, StoredMessage
from webhook_service.storage.messages import (
    beyond,
    fold,
    list_messages,
    matching,
    select_messages,
    sort_keys,
    to_messages,
)
from webhook_service.storage.models import MessageRow
from webhook_service.storage.trigrams import narrow_down, narrows_down

STRETCH = 5_000  # messages


def search_messages(
    connection: Connection,
    wanted: MessageFilter,
    *,
    order: Order,
    limit: int,
    offset: int = 0,
    after: Position | None = None,
) -> list[StoredMessage]:
    """What ``list_messages`` finds for a filter with ``q``, sooner."""
    if not narrows_down(connection, fold(wanted.q or "")):
        return list_messages(connection, wanted, order=order, limit=limit, offset=offset, after=after)
    if offset:
        return _ask_index(connection, wanted, order, after, limit=limit, offset=offset)
    end = _end_of_stretch(connection, wanted, order, after)
    near = list_messages(connection, wanted, order=order, limit=limit, after=after, last=end)
    if end is None or len(near) == limit:
        return near
    return near + _ask_index(connection, wanted, order, end, limit=limit - len(near))


def _end_of_stretch(
    connection: Connection, wanted: MessageFilter, order: Order, after: Position | None
) -> Position | None:
    """Where the stretch after a place ends; None when the whole list ends within it."""
    others = matching(replace(wanted, q=None), order, after)
    last = (
        select(MessageRow.ts, MessageRow.message_id)
        .where(*others, *beyond(after, order))
        .order_by(*sort_keys(order, MessageRow.__table__.c))
        .limit(1)
        .offset(STRETCH - 1)
    )
    row = connection.execute(last).one_or_none()
    return None if row is None else Position(*row)


def _ask_index(
    connection: Connection,
    wanted: MessageFilter,
    order: Order,
    after: Position | None,
    *,
    limit: int,
    offset: int = 0,
) -> list[StoredMessage]:
    """All that hold it, found by the index, then sorted.

    Found apart from sorting, or else a database may think of going along the order of the page again.
    """
    narrow = narrow_down(connection, fold(wanted.q or ""))
    holding = select_messages().where(*narrow, *matching(wanted, order, after), *beyond(after, order))
    found = holding.cte("found").prefix_with("MATERIALIZED")
    page = select(found).order_by(*sort_keys(order, found.c)).limit(limit).offset(offset)
    return to_messages(connection.execute(page))
