"""Pages of the messages that hold a part of a text, common or rare.

The index of the trigrams gives all messages that hold it, but in no order: good for a rare word, and a waste for one
that half of the messages hold, of which a page needs a few. Those are soon found by going along the order of the page.
So a search goes along for a bounded stretch first, and asks the index for what lies beyond only if that did not fill
the page.
"""

from dataclasses import replace

from sqlalchemy import Connection, select

from webhook_service.domain import MessageQuery, Position, StoredMessage
from webhook_service.storage.messages import (
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


def search_messages(connection: Connection, query: MessageQuery) -> list[StoredMessage]:
    """Finds what ``list_messages`` does for a filter with ``q``, sooner."""
    if not narrows_down(connection, fold(query.filter.q or "")):
        return list_messages(connection, query)
    if query.offset:
        return _ask_index(connection, query)
    end = _end_of_stretch(connection, query)
    near = list_messages(connection, query, end)
    if end is None or len(near) == query.limit:
        return near
    return near + _ask_index(connection, replace(query, after=end, limit=query.limit - len(near)))


def _end_of_stretch(connection: Connection, query: MessageQuery) -> Position | None:
    """Finds the place where the stretch after the query's place ends; None when the whole list ends within it."""
    others = replace(query, filter=replace(query.filter, q=None))
    last = (
        select(MessageRow.ts, MessageRow.message_id)
        .where(*matching(others))
        .order_by(*sort_keys(query.order, MessageRow.__table__.c))
        .limit(1)
        .offset(STRETCH - 1)
    )
    row = connection.execute(last).one_or_none()
    return None if row is None else Position(*row)


def _ask_index(connection: Connection, query: MessageQuery) -> list[StoredMessage]:
    """Reads the page from all messages that hold the text, which the index finds.

    They are found apart from being sorted, or else a database may go along the order of the page again.
    """
    narrow = narrow_down(connection, fold(query.filter.q or ""))
    found = select_messages().where(*narrow, *matching(query)).cte("found").prefix_with("MATERIALIZED")
    page = select(found).order_by(*sort_keys(query.order, found.c)).limit(query.limit).offset(query.offset)
    return to_messages(connection.execute(page))
