"""Pages of messages: by the place where the last page ended, so that the thousandth costs no more than the first."""

from sqlalchemy import Connection

from webhook_service.domain import MessageFilter, Order, Page, Position, StoredMessage
from webhook_service.storage.messages import beyond, list_messages, matching, select_messages, sort_keys, to_messages
from webhook_service.storage.models import MessageRow
from webhook_service.storage.search import search_messages


def read_page(
    connection: Connection,
    wanted: MessageFilter,
    *,
    order: Order,
    limit: int,
    offset: int = 0,
    after: Position | None = None,
) -> Page:
    """The messages that pass the filter and come after a place, by ``ts``, then by ID; or those after ``offset``."""
    read = list_messages if wanted.q is None else search_messages
    found = read(connection, wanted, order=order, limit=limit + 1, offset=offset, after=after)
    return Page(messages=tuple(found[:limit]), has_more=len(found) > limit)


def read_batch(
    connection: Connection, wanted: MessageFilter, *, after: Position | None, limit: int
) -> list[StoredMessage]:
    """The same in ascending order and as they are read by the thousand."""
    page = (
        select_messages()
        .where(*matching(wanted, Order.ASC, after), *beyond(after, Order.ASC))
        .order_by(*sort_keys(Order.ASC, MessageRow.__table__.c))
        .limit(limit)
    )
    return to_messages(connection.execute(page))
