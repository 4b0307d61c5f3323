"""JSON and query strings to domain objects and back; what a field may hold is said here and nowhere else.

Rules: E.164 numbers are ITU-T E.164 (`+` and at most 15 digits), timestamps are RFC 3339 / ISO 8601 with a zone.
"""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import orjson
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from webhook_service.cursors import CursorInvalid, Scope, decode_cursor, encode_cursor
from webhook_service.domain import (
    Age,
    Interval,
    Message,
    MessageFilter,
    Order,
    Page,
    PayloadInvalid,
    Position,
    QuarantineEntry,
    Reason,
    Receipt,
    ReceiptFilter,
    Stats,
    StoredMessage,
    Timeline,
)

MESSAGE_ID_MAX = 255
NUMBER_MAX = 255
PROVIDER_MAX = 32
TYPE_MAX = 64
TEXT_MAX = 4096
PAGE_MAX = 100
PAGE_DEFAULT = 50
FIRST_CURSOR = "*"  # the first page, without its total
FEED_MAX = 1000
FEED_DEFAULT = 100
TIMELINE_MAX = 1000
TIMELINE_DEFAULT = {Interval.HOUR: 24, Interval.DAY: 30}
OFFSET_MAX = 2**63 - 1 - PAGE_MAX

_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})"
)
_NOT_A_TIMESTAMP = "Not an ISO 8601 timestamp with a time zone."
_INTEGER = re.compile(r"-?[0-9]{1,19}")


class QueryInvalid(Exception):
    """A query string that breaks the contract; ``errors`` names the parameters and what is wrong with each."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        super().__init__("invalid query parameters")
        self.errors = errors


class Timestamp(fields.Field[datetime]):
    """An ISO 8601 string with a zone, read to an aware datetime in UTC; fractions are cut at microseconds."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:  # noqa: ARG002
        try:
            return _moment(value)
        except _NO_MOMENT:
            raise ValidationError(_NOT_A_TIMESTAMP) from None


_NO_MOMENT = (TypeError, ValueError, OverflowError)


def _moment(value: Any) -> datetime:
    """What a timestamp says, in UTC; one of _NO_MOMENT when it is none."""
    if not _TIMESTAMP.fullmatch(value):
        raise ValueError(_NOT_A_TIMESTAMP)
    return datetime.fromisoformat(value.upper()).astimezone(UTC)


class AsciiInteger(fields.Field[int]):
    """An integer of ASCII digits, as a query string holds it."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:  # noqa: ARG002
        if not _INTEGER.fullmatch(value):
            raise ValidationError("Not a valid integer.")
        return int(value)


def no_nul(text: str) -> None:
    """Refuses what no database takes in a text."""
    if "\x00" in text:
        raise ValidationError("Must not contain NUL.")


_E164 = re.compile(r"\+[0-9]{1,15}\Z")
phone_number = validate.Regexp(_E164, error="Not an E.164 number: a plus and 1 to 15 digits.")


class NativePayloadSchema(Schema):
    """The body of a native delivery; what it holds beside these fields is kept as ``extra``."""

    message_id = fields.String(required=True, validate=[validate.Length(1, MESSAGE_ID_MAX), no_nul])
    sender = fields.String(required=True, data_key="from", validate=phone_number)
    recipient = fields.String(required=True, data_key="to", validate=phone_number)
    ts = Timestamp(required=True)
    text = fields.String(load_default=None, allow_none=True, validate=[validate.Length(max=TEXT_MAX), no_nul])


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


class ExportQuerySchema(MessageQuerySchema):
    """The query string of ``GET /export``: that of ``GET /messages`` but for what makes a page of it."""

    class Meta:
        exclude = ("limit", "offset", "order")

    format = fields.String(load_default="ndjson", validate=validate.OneOf(["ndjson", "csv"]))


class FeedQuerySchema(Schema):
    """The query string of ``GET /feed``."""

    after = fields.String(load_default=None)
    limit = AsciiInteger(load_default=FEED_DEFAULT, validate=validate.Range(1, FEED_MAX))


class TimelineQuerySchema(Schema):
    """The query string of ``GET /stats/timeline``."""

    interval = fields.Enum(Interval, by_value=True, load_default=Interval.DAY)
    since = Timestamp(load_default=None)
    until = Timestamp(load_default=None)


@dataclass(frozen=True, slots=True)
class ExportQuery:
    """What a caller of ``GET /export`` asks for."""

    filter: MessageFilter
    format: str
    after: Position | None


@dataclass(frozen=True, slots=True)
class FeedQuery:
    """The part of the feed that a caller of ``GET /feed`` asks for; ``after_id`` 0 is the beginning."""

    after_id: int
    limit: int


@dataclass(frozen=True, slots=True)
class TimelineQuery:
    """The part of the timeline that a caller of ``GET /stats/timeline`` asks for."""

    interval: Interval
    since: datetime
    until: datetime


class ExportedMessageSchema(Schema):
    """A line of an export, and what an import takes."""

    message_id = fields.String(required=True, validate=[validate.Length(1, MESSAGE_ID_MAX), no_nul])
    sender = fields.String(required=True, data_key="from", validate=[validate.Length(max=NUMBER_MAX), no_nul])
    recipient = fields.String(required=True, data_key="to", validate=[validate.Length(max=NUMBER_MAX), no_nul])
    ts = Timestamp(required=True)
    text = fields.String(load_default=None, allow_none=True, validate=no_nul)
    provider = fields.String(load_default="native", validate=[validate.Length(1, PROVIDER_MAX), no_nul])
    type = fields.String(load_default="text", validate=[validate.Length(1, TYPE_MAX), no_nul])
    received_at = Timestamp()
    extra = fields.Dict(keys=fields.String(), load_default=None, allow_none=True)


class ReceiptQuerySchema(Schema):
    """The query string of ``GET /receipts``."""

    limit = AsciiInteger(load_default=PAGE_DEFAULT, validate=validate.Range(1, PAGE_MAX))
    message_id = fields.String(load_default=None, validate=no_nul)
    status = fields.String(load_default=None, validate=no_nul)
    cursor = fields.String(load_default=None)


class QuarantineQuerySchema(Schema):
    """The query string of ``GET /quarantine``."""

    limit = AsciiInteger(load_default=PAGE_DEFAULT, validate=validate.Range(1, PAGE_MAX))
    cursor = fields.String(load_default=None)


@dataclass(frozen=True, slots=True)
class ReceiptQuery:
    """One page that a caller of ``GET /receipts`` asks for; ``after`` is the position of the last one seen."""

    filter: ReceiptFilter
    after: int
    limit: int

    def cursor(self, position: int) -> str:
        """The cursor for the page after that position."""
        return encode_cursor(_receipts_scope(self.filter), [position])


@dataclass(frozen=True, slots=True)
class QuarantineQuery:
    """One page that a caller of ``GET /quarantine`` asks for."""

    after: int
    limit: int

    def cursor(self, position: int) -> str:
        """The cursor for the page after that position."""
        return encode_cursor(_QUARANTINE_SCOPE, [position])


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """One page that a caller of ``GET /messages`` asks for; with a cursor it is the one after a place or the first."""

    filter: MessageFilter
    order: Order
    limit: int
    offset: int
    by_cursor: bool = False
    after: Position | None = None


_native_payload = NativePayloadSchema(unknown=EXCLUDE)
_FEED = ("feed",)
_NATIVE_NAMES = frozenset(field.data_key or name for name, field in _native_payload.fields.items())
_message_query = MessageQuerySchema(unknown=EXCLUDE)
_receipt_query = ReceiptQuerySchema(unknown=EXCLUDE)
_quarantine_query = QuarantineQuerySchema(unknown=EXCLUDE)
_exported_message = ExportedMessageSchema(unknown=EXCLUDE)
_export_query = ExportQuerySchema(unknown=EXCLUDE)
_feed_query = FeedQuerySchema(unknown=EXCLUDE)
_timeline_query = TimelineQuerySchema(unknown=EXCLUDE)


def load_native_payload(payload: dict[str, Any]) -> dict[str, Any]:
    """The validated fields of a native payload by their names in the domain; PayloadInvalid when one is bad."""
    try:
        loaded: dict[str, Any] = _at_a_glance(payload) or _native_payload.load(payload)
    except ValidationError as invalid:
        raise PayloadInvalid(Reason.INVALID_FIELDS, _by_field(invalid)) from None
    extra = {name: value for name, value in payload.items() if name not in _NATIVE_NAMES}
    return {**loaded, "extra": extra or None}


def _at_a_glance(payload: dict[str, Any]) -> dict[str, Any] | None:
    """What the schema loads from a payload with nothing wrong in it; None for any other, which the schema then judges.

    Each delivery comes this way, and the schema takes five times as long: docs/performance.md has the figures.
    """
    try:
        message_id, text = payload["message_id"], payload.get("text")
        sender, recipient = payload["from"], payload["to"]
        fits = (
            _is_text(message_id, shortest=1, longest=MESSAGE_ID_MAX)
            and (text is None or _is_text(text, shortest=0, longest=TEXT_MAX))
            and _E164.match(sender)
            and _E164.match(recipient)
        )
        loaded = {"message_id": message_id, "sender": sender, "recipient": recipient, "ts": _moment(payload["ts"])}
    except (KeyError, *_NO_MOMENT):
        return None
    return {**loaded, "text": text} if fits else None


def _is_text(value: Any, *, shortest: int, longest: int) -> bool:
    return isinstance(value, str) and shortest <= len(value) <= longest and "\x00" not in value


def load_exported_message(exported: Mapping[str, Any], received_at: datetime) -> Message:
    """A message from a line of an export; PayloadInvalid when a field is bad.

    ``received_at`` is for a line that doesn't say it.
    """
    try:
        loaded: dict[str, Any] = _exported_message.load(exported)
    except ValidationError as invalid:
        raise PayloadInvalid(Reason.INVALID_FIELDS, _by_field(invalid)) from None
    return Message(**{"received_at": received_at, **loaded})


def load_message_query(query_string: bytes) -> MessageQuery:
    """The page that a query string asks for; QueryInvalid when a parameter is bad."""
    loaded = _load_query(_message_query, query_string)
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
    return write_cursor(query.filter, query.order, Position.of(page.messages[-1])) if page.has_more else None


def write_cursor(wanted: MessageFilter, order: Order, position: Position) -> str:
    """A place in the list of the messages that pass a filter."""
    return encode_cursor(_scope(wanted, order), (format_timestamp(position.ts), position.message_id))


def read_cursor(wanted: MessageFilter, order: Order, cursor: str) -> Position:
    """The place that ``write_cursor`` wrote; QueryInvalid when it is not one in this list."""
    try:
        ts, message_id = decode_cursor(_scope(wanted, order), cursor)
    except CursorInvalid:
        raise QueryInvalid({"cursor": ["Not a cursor of this list."]}) from None
    return Position(datetime.fromisoformat(ts), message_id)


def _scope(wanted: MessageFilter, order: Order) -> tuple[str | None, ...]:
    since, until = (None if end is None else format_timestamp(end) for end in (wanted.since, wanted.until))
    return ("messages", order.value, wanted.sender, wanted.recipient, wanted.provider, since, until, wanted.q)


def load_export_query(query_string: bytes) -> ExportQuery:
    """The messages that a query string asks for; QueryInvalid when a parameter is bad."""
    return load_export_parameters(read_query_string(query_string))


def load_export_parameters(parameters: Mapping[str, str]) -> ExportQuery:
    """The same from parameters by name."""
    try:
        loaded = _export_query.load(parameters)
    except ValidationError as invalid:
        raise QueryInvalid(_by_field(invalid)) from None
    format_, cursor = loaded.pop("format"), loaded.pop("cursor")
    wanted = MessageFilter(**loaded)
    after = None if cursor in {None, FIRST_CURSOR} else read_cursor(wanted, Order.ASC, cursor)
    return ExportQuery(wanted, format_, after)


def load_feed_query(query_string: bytes) -> FeedQuery:
    """The part of the feed that a query string asks for; QueryInvalid when a parameter is bad."""
    loaded = _load_query(_feed_query, query_string)
    after: str | None = loaded["after"]
    try:
        after_id = 0 if after is None else decode_cursor(_FEED, after)[0]
    except CursorInvalid:
        raise QueryInvalid({"after": ["Not a place in the feed."]}) from None
    return FeedQuery(after_id, loaded["limit"])


def next_in_feed(query: FeedQuery, messages: Sequence[StoredMessage]) -> str:
    """What to ask for after these messages; the same place again when there are none."""
    return encode_cursor(_FEED, (messages[-1].id if messages else query.after_id,))


def load_timeline_query(query_string: bytes, now: datetime) -> TimelineQuery:
    """The part of the timeline that a query string asks for; QueryInvalid when a parameter is bad.

    Without ``until`` it ends now; without ``since`` it is the last day by the hour, or the last 30 days by the day.
    """
    loaded = _load_query(_timeline_query, query_string)
    interval: Interval = loaded["interval"]
    until: datetime = loaded["until"] or now
    since: datetime = loaded["since"] or _intervals_before(until, interval)
    if interval.number(since, until) > TIMELINE_MAX:
        raise QueryInvalid({"since": [f"Must be at most {TIMELINE_MAX} intervals before until."]})
    return TimelineQuery(interval, since, until)


def _intervals_before(until: datetime, interval: Interval) -> datetime:
    try:
        return until - interval.length * TIMELINE_DEFAULT[interval]
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def load_receipt_query(query_string: bytes) -> ReceiptQuery:
    """The page that a query string asks for; QueryInvalid when a parameter is bad."""
    loaded = _load_query(_receipt_query, query_string)
    wanted = ReceiptFilter(loaded["message_id"], loaded["status"])
    return ReceiptQuery(wanted, _position(_receipts_scope(wanted), loaded["cursor"]), loaded["limit"])


def load_quarantine_query(query_string: bytes) -> QuarantineQuery:
    """The page that a query string asks for; QueryInvalid when a parameter is bad."""
    loaded = _load_query(_quarantine_query, query_string)
    return QuarantineQuery(_position(_QUARANTINE_SCOPE, loaded["cursor"]), loaded["limit"])


def _load_query(schema: Schema, query_string: bytes) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = schema.load(read_query_string(query_string))
    except ValidationError as invalid:
        raise QueryInvalid(_by_field(invalid)) from None
    return loaded


def _position(scope: Scope, cursor: str | None) -> int:
    if cursor is None:
        return 0
    try:
        (position,) = decode_cursor(scope, cursor)
    except CursorInvalid:
        raise QueryInvalid({"cursor": ["Not a cursor of this list."]}) from None
    return int(position)


_QUARANTINE_SCOPE = ("quarantine",)


def _receipts_scope(wanted: ReceiptFilter) -> Scope:
    return ("receipts", wanted.message_id, wanted.status)


def _by_field(invalid: ValidationError) -> dict[str, list[str]]:
    assert isinstance(invalid.messages, dict)  # noqa: S101  # a schema's messages are by field
    return invalid.messages


# In these a plus is far likelier a phone number's or a zone's than a form's idea of a space.
_PLUS_IS_PLUS = frozenset({"from", "to", "since", "until"})
_EMPTY_IS_ABSENT = frozenset(
    {"from", "to", "provider", "since", "until", "q", "cursor", "after", "message_id", "status"}
)


def read_query_string(query_string: bytes) -> dict[str, str]:
    """The parameters of a query string, the last of each name; QueryInvalid when one is not UTF-8."""
    parameters: dict[str, str] = {}
    for pair in query_string.split(b"&"):
        name = pair.partition(b"=")[0].decode("latin-1")
        readable = pair.replace(b"+", b"%2B") if name in _PLUS_IS_PLUS else pair
        try:
            parameters.update(parse_qsl(readable.decode(), keep_blank_values=True, errors="strict"))
        except UnicodeDecodeError:
            raise QueryInvalid({name if name.isascii() else "query": ["Not valid UTF-8."]}) from None
    return {name: value for name, value in parameters.items() if value or name not in _EMPTY_IS_ABSENT}


def format_timestamp(ts: datetime) -> str:
    """An aware UTC datetime as ISO 8601 with ``Z``, with a fraction only where there is one."""
    return ts.replace(tzinfo=None).isoformat() + "Z"


def present_message(message: Message) -> dict[str, Any]:
    """A stored message as its JSON object; ``extra`` only where there is one."""
    presented: dict[str, Any] = {
        "message_id": message.message_id,
        "from": message.sender,
        "to": message.recipient,
        "ts": format_timestamp(message.ts),
        "text": message.text,
        "provider": message.provider,
        "type": message.type,
        "received_at": format_timestamp(message.received_at),
    }
    if message.extra is not None:
        presented["extra"] = message.extra
    return presented


def present_stored(message: StoredMessage) -> dict[str, Any]:
    """The same for ``orjson``: it writes times as ``format_timestamp`` does, and ``extra`` as the JSON that it is."""
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


def encode_feed(messages: Sequence[StoredMessage], place: str, age: Age | None) -> bytes:
    """A part of the feed as JSON."""
    return orjson.dumps(
        {"data": [present_stored(message) for message in messages], "next": place, **present_age(age)},
        option=orjson.OPT_UTC_Z,
    )


def present_age(age: Age | None) -> dict[str, Any]:
    """How old an answer is, for one that comes from a replica."""
    return {} if age is None else {"age_seconds": age.seconds}


def present_stats(stats: Stats) -> dict[str, Any]:
    """The totals of the store as their JSON object; times are null while it is empty."""
    return {
        "total_messages": stats.total_messages,
        "senders_count": stats.senders_count,
        "messages_per_sender": [{"from": sender, "count": count} for sender, count in stats.top_senders],
        "first_message_ts": stats.first_ts and format_timestamp(stats.first_ts),
        "last_message_ts": stats.last_ts and format_timestamp(stats.last_ts),
    }


def present_timeline(timeline: Timeline) -> dict[str, Any]:
    """Counts over time as their JSON object."""
    return {
        "interval": timeline.interval.value,
        "since": format_timestamp(timeline.since),
        "until": format_timestamp(timeline.until),
        "data": [{"start": format_timestamp(start), "count": count} for start, count in timeline.counts],
    }


def present_receipt(receipt: Receipt) -> dict[str, Any]:
    """A stored receipt as its JSON object; ``error`` and ``extra`` only where there is one."""
    presented: dict[str, Any] = {
        "message_id": receipt.message_id,
        "status": receipt.status,
        "recipient": receipt.recipient,
        "ts": format_timestamp(receipt.ts),
        "provider": receipt.provider,
        "received_at": format_timestamp(receipt.received_at),
    }
    if receipt.error is not None:
        presented["error"] = receipt.error
    if receipt.extra is not None:
        presented["extra"] = receipt.extra
    return presented


def present_quarantined(entry: QuarantineEntry) -> dict[str, Any]:
    """What is known of a quarantined delivery, without its body."""
    return {
        "id": entry.id,
        "provider": entry.delivery.provider,
        "reason": entry.delivery.reason,
        "problems": entry.delivery.problems,
        "first_at": format_timestamp(entry.delivery.received_at),
        "last_at": format_timestamp(entry.last_at),
        "count": entry.count,
        "size": len(entry.delivery.raw),
    }


def present_quarantined_whole(entry: QuarantineEntry) -> dict[str, Any]:
    """A quarantined delivery with all that is kept of it; ``body`` is null where it is not UTF-8."""
    raw = entry.delivery.raw
    try:
        body = raw.decode()
    except UnicodeDecodeError:
        body = None
    return {
        **present_quarantined(entry),
        "target": entry.delivery.target,
        "headers": dict(entry.delivery.headers),
        "body": body,
        "body_base64": b64encode(raw).decode(),
    }
