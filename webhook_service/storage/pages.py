"""Pages of messages: by the place where the last page ended, so that the thousandth costs no more than the first."""

from dataclasses import replace

from sqlalchemy import Connection

from webhook_service.domain import MessageQuery, Page, Position, StoredMessage
from webhook_service.storage.messages import list_messages
from webhook_service.storage.search import search_messages


def read_page(connection: Connection, query: MessageQuery) -> Page[StoredMessage, Position]:
    """Reads a page of messages by ``ts``, then by ID."""
    read = list_messages if query.filter.q is None else search_messages
    found = read(connection, replace(query, limit=query.limit + 1))
    return Page.cut(found, query.limit, lambda message: message.position)
