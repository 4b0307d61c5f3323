"""Messages: the list of them, and one as JSON."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson
from marshmallow import EXCLUDE, Schema, fields, validate

from webhook_service.cursors import Scope, encode_cursor
from webhook_service.domain import MessageFilter, Order, Page, Position, StoredMessage
from webhook_service.formats import format_timestamp
from webhook_service.limits import PAGE_DEFAULT, PAGE_MAX, ROW_ID_MAX, TEXT_MAX
from webhook_service.schemas.fields import AsciiInteger, Timestamp, no_nul
from webhook_service.schemas.query import QueryInvalid, load_query, read_place

FIRST_CURSOR = "*"  # the first page, without its total
OFFSET_MAX = ROW_ID_MAX - PAGE_MAX


class MessageQuerySchema(Schema):
    """The query string of ``GET /messages``."""

    limit = AsciiInteger(load_default=PAGE_DEFAULT, validate=validate.Range(1, PAGE_MAX))
    offset = AsciiInteger(load_default=0, validate=validate.Range(0, OFFSET_MAX))
    sender = fields.String(data_key="from", load_default=None, validate=no_nul)
    recipient = fields.String(data_key="to", load_default=None, validate=no_nul)
    provider = fields.String(load_default=None, validate=no_nul)
    since = Timestamp(load_default=None)
    until = Timestamp(load_default=None)
    q = fields.String(load_default=None, validate=[validate.Length(max=TEXT_MAX), no_nul])
    order = fields.Enum(Order, by_value=True, load_default=Order.ASC)
    cursor = fields.String(load_default=None)


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """One page that a caller of ``GET /messages`` asks for; with a cursor it is the one after a place or the first."""

    filter: MessageFilter
    order: Order
    limit: int
    offset: int
    by_cursor: bool = False
    after: Position | None = None


_message_query = MessageQuerySchema(unknown=EXCLUDE)


def load_message_query(query_string: bytes) -> MessageQuery:
    """The page that a query string asks for; QueryInvalid when a parameter is bad."""
    loaded = load_query(_message_query, query_string)
    page = {name: loaded.pop(name) for name in ("limit", "offset", "order")}
    cursor: str | None = loaded.pop("cursor")
    query = MessageQuery(filter=MessageFilter(**loaded), **page, by_cursor=cursor is not None)
    if cursor is None:
        return query
    if query.offset:
        raise QueryInvalid({"offset": ["Not with a cursor."]})
    if cursor == FIRST_CURSOR:
        return query
    return replace(query, after=read_cursor(query.filter, query.order, cursor))


def next_cursor(query: MessageQuery, page: Page) -> str | None:
    """The cursor of the page that follows; None when this is the last."""
    return write_cursor(query.filter, query.order, page.messages[-1].position) if page.has_more else None


def write_cursor(wanted: MessageFilter, order: Order, position: Position) -> str:
    """A place in the list of the messages that pass a filter."""
    return encode_cursor(_scope(wanted, order), (format_timestamp(position.ts), position.message_id))


def read_cursor(wanted: MessageFilter, order: Order, cursor: str) -> Position:
    """The place that ``write_cursor`` wrote; QueryInvalid when it is not one in this list."""
    ts, message_id = read_place(_scope(wanted, order), cursor)
    return Position(datetime.fromisoformat(ts), message_id)


def _scope(wanted: MessageFilter, order: Order) -> Scope:
    since, until = (None if end is None else format_timestamp(end) for end in (wanted.since, wanted.until))
    return ("messages", order.value, wanted.sender, wanted.recipient, wanted.provider, since, until, wanted.q)


def present_message(message: StoredMessage) -> dict[str, Any]:
    """A message as its JSON object, for ``encode_json``; ``extra`` only where there is one."""
    presented: dict[str, Any] = {
        "message_id": message.message_id,
        "from": message.sender,
        "to": message.recipient,
        "ts": message.ts,
        "text": message.text,
        "provider": message.provider,
        "type": message.type,
        "received_at": message.received_at,
    }
    if message.extra is not None:
        presented["extra"] = orjson.Fragment(message.extra)
    return presented
