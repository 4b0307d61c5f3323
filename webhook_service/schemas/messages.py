"""Messages: the query for a page of them, their cursors, and a message as JSON."""

from collections.abc import Mapping
from typing import Any

import orjson
from marshmallow import EXCLUDE, fields, validate

from webhook_service.domain.formats import format_timestamp
from webhook_service.domain.limits import PAGE_MAX, ROW_ID_MAX, SEARCH_MAX
from webhook_service.domain.messages import Duplicates, MessageFilter, MessageQuery, Order, Position, StoredMessage
from webhook_service.schemas.cursors import PositionCursors
from webhook_service.schemas.fields import AsciiInteger, TimestampField, no_nul
from webhook_service.schemas.query import PageQuerySchema, QueryInvalid, load_parameters, read_cursor, read_query_string

FIRST_CURSOR = "*"  # asks for the first page, without the total
OFFSET_MAX = ROW_ID_MAX - PAGE_MAX


class MessageQuerySchema(PageQuerySchema):
    """The query string of ``GET /messages``."""

    cursor = fields.String(
        load_default=None,
        metadata={"description": "`*` for the first page, then the last `next_cursor`. One of other filters is 422."},
    )
    offset = AsciiInteger(
        load_default=0,
        validate=validate.Range(0, OFFSET_MAX),
        metadata={"description": "Messages to pass over; not with `cursor`. A far one is slow."},
    )
    sender = fields.String(
        data_key="from",
        load_default=None,
        validate=no_nul,
        metadata={"description": "Exactly this sender; a raw `+` means a plus.", "example": "+4915112345678"},
    )
    recipient = fields.String(
        data_key="to",
        load_default=None,
        validate=no_nul,
        metadata={"description": "Exactly this recipient; a raw `+` means a plus.", "example": "+4930123456"},
    )
    provider = fields.String(
        load_default=None, validate=no_nul, metadata={"description": "Exactly this provider.", "example": "native"}
    )
    source = fields.String(
        load_default=None, validate=no_nul, metadata={"description": "Exactly this source.", "example": "native"}
    )
    type = fields.String(
        load_default=None, validate=no_nul, metadata={"description": "Exactly this type.", "example": "image"}
    )
    since = TimestampField(
        load_default=None, metadata={"description": "`ts` from this on.", "example": "2026-01-01T00:00:00Z"}
    )
    until = TimestampField(
        load_default=None, metadata={"description": "`ts` before this.", "example": "2026-02-01T00:00:00Z"}
    )
    q = fields.String(
        load_default=None,
        validate=[validate.Length(max=SEARCH_MAX), no_nul],
        metadata={"description": "A part of the text in any case; `%` and `_` mean themselves.", "example": "hello"},
    )
    order = fields.Enum(Order, by_value=True, load_default=Order.ASC, metadata={"description": "Of `ts`."})


_message_query = MessageQuerySchema(unknown=EXCLUDE)


def load_message_query(query_string: bytes) -> MessageQuery:
    """Loads a query string; QueryInvalid when a parameter is bad."""
    return load_message_parameters(read_query_string(query_string))


def load_message_parameters(parameters: Mapping[str, str]) -> MessageQuery:
    """Loads parameters by name, as ``load_message_query`` loads those of a query string."""
    loaded = load_parameters(_message_query, parameters)
    limit, offset, order, cursor = (loaded.pop(name) for name in ("limit", "offset", "order", "cursor"))
    wanted = MessageFilter(**loaded)
    if cursor is None:
        return MessageQuery(wanted, limit, order, offset, with_total=True)
    if offset:
        raise QueryInvalid({"offset": ["Not with a cursor."]})
    return MessageQuery(wanted, limit, order, after=read_position(wanted, order, cursor))


def read_position(wanted: MessageFilter, order: Order, cursor: str | None) -> Position | None:
    """Decodes the parameter ``cursor``; None for the first page, QueryInvalid when it is no cursor of this list."""
    return None if cursor in {None, FIRST_CURSOR} else read_cursor(message_cursors(wanted, order), cursor)


def message_cursors(wanted: MessageFilter, order: Order) -> PositionCursors:
    """Returns the cursors of the list of messages that pass a filter, in an order."""
    since, until = (None if end is None else format_timestamp(end) for end in (wanted.since, wanted.until))
    scope = ["messages", order.value, wanted.sender, wanted.recipient, wanted.provider, since, until, wanted.q]
    if wanted.type is not None:
        scope += [wanted.source, wanted.type]
    elif wanted.source is not None:
        scope.append(wanted.source)
    return PositionCursors(*scope)


def present_message(message: StoredMessage) -> dict[str, Any]:
    """Converts a message to its JSON object, for ``encode_json``; ``extra`` and ``test`` are there only if set."""
    presented: dict[str, Any] = {
        "message_id": message.message_id,
        "from": message.sender,
        "to": message.recipient,
        "ts": message.ts,
        "text": message.text,
        "source": message.source,
        "provider": message.provider,
        "type": message.type,
        "received_at": message.received_at,
    }
    if message.extra is not None:
        presented["extra"] = orjson.Fragment(message.extra)
    if message.is_test:
        presented["test"] = True
    return presented


def present_duplicates(duplicates: Duplicates) -> dict[str, Any]:
    """Converts the duplicates of a message to their JSON object, for ``encode_json``."""
    return {"count": duplicates.count, "last_at": duplicates.last_at}
