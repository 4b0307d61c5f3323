"""Pages of messages, and the number of messages that pass a filter.

A page begins at a place in the list, not at a number of messages to skip, so the thousandth page costs no more than the
first.

A search has two ways to go. An index of the trigrams of all texts finds every message with a given piece of text, but
in no order: good for a rare word, wasteful for one that half of the messages hold. Messages with such a word are found
sooner by reading along the order of the page. So a search first reads along for a bounded stretch, and asks the index
for what lies beyond only if the page is not full by then. What the index finds is compared with the text itself, so a
search finds the same on a database without the index.
"""

from dataclasses import replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Tuple,
    and_,
    column,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
    text,
    tuple_,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from webhook_service.domain.messages import MessageFilter, MessageQuery, Order, Position, StoredMessage
from webhook_service.domain.paging import Page
from webhook_service.domain.search import fold
from webhook_service.storage.models import TYPE_IS_NOT_TEXT, MessageRow, UtcDateTime
from webhook_service.storage.queries.counts import count_all, count_between, count_of_sender
from webhook_service.storage.queries.messages import FOR_PROGRAMS, SELECT_MESSAGES, to_messages

SCANNED = 5_000  # messages along which a search reads before it asks the index
TRIGRAM = 3  # characters; the index knows no shorter text
MOST_TRIGRAMS = 32  # of a long text: they are selective enough, and FTS5 limits the length of a query

TEXT = "text"  # the type of most messages

_KEY_OF_PAGES = tuple_(MessageRow.ts, MessageRow.message_id)

_fts = table("message_trigrams", column("rowid"), column("message_trigrams"))
_docsize = table("message_trigrams_docsize", column("id"))
_index_exists = {
    "sqlite": text("SELECT count(*) FROM sqlite_master WHERE name = 'message_trigrams'"),
    "postgresql": text("SELECT count(*) FROM pg_class WHERE relname = 'ix_messages_text_folded_trigrams'"),
}


def read_page(connection: Connection, query: MessageQuery) -> Page[StoredMessage, Position]:
    """Reads a page of messages, in the order of ``ts``, then of ID."""
    read = list_messages if query.filter.q is None else _search
    found = read(connection, replace(query, limit=query.limit + 1))
    return Page.cut(found, query.limit, lambda message: message.position)


def count_messages(connection: Connection, wanted: MessageFilter) -> int:
    """Counts the messages that pass a filter; for common filters, triggers keep the number."""
    if wanted == MessageFilter():
        return count_all(connection)
    if wanted == MessageFilter(source=wanted.source, since=wanted.since, until=wanted.until):
        return count_between(connection, wanted.since, wanted.until, wanted.source)
    if wanted.sender is not None and wanted == MessageFilter(sender=wanted.sender):
        return count_of_sender(connection, wanted.sender)
    narrow = [] if wanted.q is None else _narrow_down(connection, fold(wanted.q))
    counted = select(func.count()).select_from(MessageRow).where(*narrow, *_conditions(connection, wanted))
    return connection.scalars(counted).one()


def list_messages(connection: Connection, query: MessageQuery, last: Position | None = None) -> list[StoredMessage]:
    """Reads the messages of a query along their order, up to the place ``last`` if that is given."""
    page = (
        SELECT_MESSAGES.where(*_matching(connection, query), *_up_to(last, query.order))
        .order_by(*_sort_keys(query.order, MessageRow.__table__.c))
        .limit(query.limit)
        .offset(query.offset)
    )
    return to_messages(connection.execute(page))


def _search(connection: Connection, query: MessageQuery) -> list[StoredMessage]:
    """Reads the same messages as ``list_messages``, but faster for a filter with ``q``."""
    if not has_index_for(connection, fold(query.filter.q or "")):
        return list_messages(connection, query)
    if query.offset:
        return _ask_index(connection, query)
    end = _end_of_scan(connection, query)
    near = list_messages(connection, query, end)
    if end is None or len(near) == query.limit:
        return near
    return near + _ask_index(connection, replace(query, after=end, limit=query.limit - len(near)))


def _end_of_scan(connection: Connection, query: MessageQuery) -> Position | None:
    """Finds the last place of the scan that begins at the query's place; None when the list ends within it."""
    others = replace(query, filter=replace(query.filter, q=None))
    last = (
        select(MessageRow.ts, MessageRow.message_id)
        .where(*_matching(connection, others))
        .order_by(*_sort_keys(query.order, MessageRow.__table__.c))
        .limit(1)
        .offset(SCANNED - 1)
    )
    row = connection.execute(last).one_or_none()
    return None if row is None else Position(*row)


def _ask_index(connection: Connection, query: MessageQuery) -> list[StoredMessage]:
    """Reads the messages of a query by finding all that hold the text in the index, then sorting them.

    Finding is kept apart from sorting, or the planner may choose to read along the order of the page again.
    """
    narrow = _narrow_down(connection, fold(query.filter.q or ""))
    found = SELECT_MESSAGES.where(*narrow, *_matching(connection, query)).cte("found").prefix_with("MATERIALIZED")
    page = select(found).order_by(*_sort_keys(query.order, found.c)).limit(query.limit).offset(query.offset)
    return to_messages(connection.execute(page))


def has_index_for(connection: Connection, folded: str) -> bool:
    """Tells whether the database has an index of trigrams and the text is long enough for it."""
    return len(folded) >= TRIGRAM and bool(connection.scalar(_index_exists[connection.dialect.name]))


def _narrow_down(connection: Connection, folded: str) -> list[ColumnElement[bool]]:
    """Returns conditions that are true of every message whose text holds ``folded``, and of few others.

    On PostgreSQL there are none, since it uses the index to compare the text itself. On SQLite a message must have each
    trigram in the index, or not be in the index yet.
    """
    if connection.dialect.name == "postgresql" or not has_index_for(connection, folded):
        return []
    trigrams = {folded[at : at + TRIGRAM] for at in range(len(folded) - TRIGRAM + 1)}
    quoted = (f'"{trigram.replace(chr(34), chr(34) * 2)}"' for trigram in sorted(trigrams)[:MOST_TRIGRAMS])
    indexed = select(_fts.c.rowid).where(_fts.c.message_trigrams.op("MATCH")(" ".join(quoted)))
    newest_indexed = select(func.coalesce(func.max(_docsize.c.id), 0)).scalar_subquery()
    waiting = select(MessageRow.id).where(MessageRow.id > newest_indexed)
    return [MessageRow.id.in_(indexed.union_all(waiting))]


def _matching(connection: Connection, query: MessageQuery) -> list[ColumnElement[bool]]:
    """Returns the conditions that a message passes the filter of a query, and comes after the query's place.

    The place is compared as a row, for which both databases descend an index directly. A bound of the filter that the
    place implies is left out, or a database may begin to read the index at that bound instead.
    """
    wanted, after = query.filter, query.after
    if after is None:
        return _conditions(connection, wanted)
    if query.order is Order.ASC:
        implied = wanted.since is not None and wanted.since <= after.ts
        return [
            *_conditions(connection, replace(wanted, since=None) if implied else wanted),
            _place(after) < _KEY_OF_PAGES,
        ]
    implied = wanted.until is not None and wanted.until > after.ts
    return [*_conditions(connection, replace(wanted, until=None) if implied else wanted), _place(after) > _KEY_OF_PAGES]


def _up_to(last: Position | None, order: Order) -> list[ColumnElement[bool]]:
    """Returns the condition that a message does not come after a place."""
    if last is None:
        return []
    return [_place(last) >= _KEY_OF_PAGES if order is Order.ASC else _place(last) <= _KEY_OF_PAGES]


def _place(position: Position) -> Tuple:
    return tuple_(literal(position.ts, UtcDateTime), literal(position.message_id))


def _sort_keys(order: Order, columns: ReadOnlyColumnCollection[str, Any]) -> list[ColumnElement[Any]]:
    keys: list[ColumnElement[Any]] = [columns["ts"], columns["message_id"]]
    return keys if order is Order.ASC else [key.desc() for key in keys]


def _conditions(connection: Connection, wanted: MessageFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.sender is not None:
        conditions.append(MessageRow.sender == wanted.sender)
    if wanted.recipient is not None:
        conditions.append(MessageRow.recipient == wanted.recipient)
    if wanted.source is not None:
        conditions.append(MessageRow.source == wanted.source)
    if wanted.provider is not None:
        conditions.append(_of_provider(connection, wanted.provider))
    if wanted.type is not None:
        conditions += _of_type(wanted.type)
    if wanted.for_programs:
        conditions.append(FOR_PROGRAMS)
    if wanted.since is not None:
        conditions.append(MessageRow.ts >= wanted.since)
    if wanted.until is not None:
        conditions.append(MessageRow.ts < wanted.until)
    if wanted.q is not None:
        conditions.append(MessageRow.text_folded.contains(fold(wanted.q), autoescape=True))
    return conditions


def _of_provider(connection: Connection, provider: str) -> ColumnElement[bool]:
    """Returns the condition that a message is of a provider, in a form for which an index has the page in order.

    In the source that is named like the provider, the column is null; in every other one it holds the provider. Both
    are looked for only if both occur, and then the database chooses between an index and the page's order.
    """
    unwritten = and_(MessageRow.source == provider, MessageRow.provider.is_(None))
    written = MessageRow.provider == provider
    if not connection.scalar(select(exists().where(written))):
        return unwritten
    return or_(unwritten, written) if connection.scalar(select(exists().where(unwritten))) else written


def _of_type(kind: str) -> list[ColumnElement[bool]]:
    """Returns the conditions that a message is of a type.

    A database uses the index of rare types only for a query that repeats the condition of the index: no texts.
    """
    of_type = MessageRow.type == kind
    return [of_type] if kind == TEXT else [of_type, literal_column(f"messages.{TYPE_IS_NOT_TEXT}")]
