"""The ``payload`` table, which says where in a delivery the fields of messages are found."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from webhook_service.domain.deliveries import Contents, Delivery, Unreadable
from webhook_service.domain.errors import PayloadInvalid
from webhook_service.domain.formats import parse_timestamp
from webhook_service.domain.limits import MESSAGE_ID_MAX, PARTY_MAX, WORD_MAX
from webhook_service.domain.messages import Message
from webhook_service.domain.results import Reason
from webhook_service.providers.declarations.expressions import ROOTS, Expression, ExpressionFailed, read_expression
from webhook_service.providers.declarations.places import read_header_name
from webhook_service.providers.declarations.tables import DeclarationTable
from webhook_service.providers.fields import FieldInvalid, long_text, phone_number, short_text
from webhook_service.providers.forms import FormInvalid, read_fields, to_form
from webhook_service.providers.strict_json import loads

ITEMS_MAX = 10_000
TIME_FORMATS = ("iso", "s", "ms")
_DECIMAL = re.compile(r"[0-9]{1,16}(\.[0-9]{1,9})?")
_LAST_SECOND = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())

Scope = dict[str, Any]


@dataclass(frozen=True, slots=True)
class MessageId:
    """The origin of a message's ID: a field, else a header, else the SHA-256 of the body."""

    field: Expression | None
    header: str | None
    sha256: bool


@dataclass(frozen=True, slots=True)
class Payload:
    """The ``payload`` table that was read: expressions for the fields of messages, and their formats."""

    message_id: MessageId
    sender: Expression
    recipient: Expression
    items: Expression | None = None
    ts: Expression | None = None
    ts_format: str = "iso"
    text: Expression | None = None
    type: Expression | None = None
    is_form: bool = False
    phone_numbers: bool = False
    ts_optional: bool = False

    def expressions(self) -> list[Expression]:
        """Returns the expressions that find the fields of a message."""
        found = (self.message_id.field, self.sender, self.recipient, self.ts, self.text, self.type)
        return [expression for expression in found if expression is not None]

    def headers(self) -> tuple[str, ...]:
        """Returns the names of the headers that are read, as the table spells them."""
        names = {name for expression in self.expressions() for name in expression.headers}
        if self.items is not None:
            names |= self.items.headers
        return tuple(sorted(names | ({self.message_id.header} if self.message_id.header else set())))


class Reader:
    """Reads a provider's deliveries as messages; these keep nothing of the field ``hidden``."""

    def __init__(self, payload: Payload, provider: str, hidden: str | None = None) -> None:
        self._payload = payload
        self._provider = provider
        self._headers = payload.headers()
        # What does not depend on the item is looked up once for each delivery, however many items it has.
        self._constant = {each for each in payload.expressions() if "item" not in each.roots}
        self._mapped = {each.name for each in payload.expressions() if each.name is not None}
        if hidden is not None:
            self._mapped.add(hidden)
        self._address: Callable[[str], str] = phone_number if payload.phone_numbers else str

    def scope(self, delivery: Delivery) -> Scope:
        """Returns the values that expressions can refer to; PayloadInvalid for a body that can't be read."""
        body = _form(delivery.raw) if self._payload.is_form else loads(delivery.raw)
        headers = {name: delivery.headers.get(name) for name in self._headers}
        return {"item": body, "body": body, "headers": headers}

    def read(self, delivery: Delivery, scope: Scope, source_of: Callable[[Any], str | None]) -> Contents:
        """Returns the messages of a delivery; an item that can't be read is named and does not affect the others.

        ``source_of`` returns the source of an item; None stands for the source of the delivery.
        """
        items = self._items(scope)
        constants = _Constants(self._constant, scope)
        messages, unreadable = [], []
        for index, item in enumerate(items):
            at = "" if self._payload.items is None else f"items[{index}]"
            if not isinstance(item, dict):
                unreadable.append(Unreadable(Reason.NOT_AN_OBJECT, at or "body"))
                continue
            try:
                found = _Finding({**scope, "item": item}, constants)
                messages.append(self._message(found, delivery, index, source_of(item)))
            except FieldInvalid as invalid:
                unreadable.append(Unreadable(Reason.INVALID_FIELDS, f"{at}.{invalid.field}" if at else invalid.field))
        return Contents(messages=tuple(messages), unreadable=tuple(unreadable))

    def _items(self, scope: Scope) -> list[Any]:
        if self._payload.items is None:
            return [scope["body"]]
        try:
            items = self._payload.items.search(scope)
        except ExpressionFailed:
            items = None
        if not isinstance(items, list) or not items:
            raise PayloadInvalid(Reason.NO_ITEMS, {"items": ["Finds nothing."]})
        if len(items) > ITEMS_MAX:
            raise PayloadInvalid(Reason.TOO_MANY_FIELDS, {"items": [f"Finds more than {ITEMS_MAX:,}."]})
        return items

    def _message(self, found: "_Finding", delivery: Delivery, index: int, source: str | None) -> Message:
        payload = self._payload
        text = found.text(payload.text, "text") if payload.text else None
        kind = found.text(payload.type, "type") if payload.type else None
        extra = {name: value for name, value in found.scope["item"].items() if name not in self._mapped}
        return Message(
            message_id=self._message_id(found, delivery, index),
            provider=self._provider,
            sender=self._address(short_text(found.text(payload.sender, "from"), "from", PARTY_MAX)),
            recipient=self._address(short_text(found.text(payload.recipient, "to"), "to", PARTY_MAX)),
            ts=self._ts(found) or delivery.received_at,
            received_at=delivery.received_at,
            text=None if text is None else long_text(text, "text"),
            type="text" if payload.type is None else short_text(kind, "type", WORD_MAX),
            extra=extra or None,
            source=source,
        )

    def _ts(self, found: "_Finding") -> datetime | None:
        """Returns the time that the provider gives; None where it gives none and need not."""
        payload = self._payload
        value = found.value(payload.ts, "ts") if payload.ts else None
        if value is None and (payload.ts is None or payload.ts_optional):
            return None
        return _time(value, payload.ts_format)

    def _message_id(self, found: "_Finding", delivery: Delivery, index: int) -> str:
        rule = self._payload.message_id
        value = found.text(rule.field, "message_id") if rule.field else None
        if value is None and (rule.header or rule.sha256):
            value = delivery.headers.get(rule.header) if rule.header else None
            if value is None and rule.sha256:
                value = hashlib.sha256(delivery.raw).hexdigest()
            if value is not None and self._payload.items is not None:
                value = f"{value}.{index}"
        return short_text(value, "message_id", MESSAGE_ID_MAX)


class _Constants:
    """The values of expressions that are the same for each item."""

    def __init__(self, expressions: set[Expression], scope: Scope) -> None:
        self._found: dict[Expression, Any] = {}
        self._failed: set[Expression] = set()
        for expression in expressions:
            try:
                self._found[expression] = expression.search(scope)
            except ExpressionFailed:
                self._failed.add(expression)

    def search(self, expression: Expression, scope: Scope) -> Any:
        """Returns what an expression finds for an item. Raises ExpressionFailed."""
        if expression in self._failed:
            raise ExpressionFailed
        return self._found[expression] if expression in self._found else expression.search(scope)


@dataclass(frozen=True, slots=True)
class _Finding:
    """One item, in which expressions find the values of fields."""

    scope: Scope
    constants: _Constants

    def value(self, expression: Expression, field: str) -> Any:
        try:
            return self.constants.search(expression, self.scope)
        except ExpressionFailed:
            raise FieldInvalid(field) from None

    def text(self, expression: Expression, field: str) -> str | None:
        """Returns the text that an expression finds; a number is converted to text. FieldInvalid for anything else."""
        value = self.value(expression, field)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        raise FieldInvalid(field)


def _form(raw: bytes) -> Mapping[str, Any]:
    try:
        form = to_form(read_fields(raw))
    except FormInvalid as invalid:
        raise PayloadInvalid(invalid.reason, {"body": ["Not a form."]}) from None
    if not form:
        raise PayloadInvalid(Reason.NO_ITEMS, {"body": ["Not a form."]})
    return form


def _time(value: Any, form: str) -> datetime:
    if form == "iso":
        try:
            return parse_timestamp(value if isinstance(value, str) else "")
        except ValueError:
            raise FieldInvalid("ts") from None
    text = str(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
    if not _DECIMAL.fullmatch(text):
        raise FieldInvalid("ts")
    whole, _, fraction = text.partition(".")
    microseconds = int(whole) * 10**6 + int(f"{fraction:0<6.6}")
    seconds, rest = divmod(microseconds // 1000 if form == "ms" else microseconds, 10**6)
    if seconds > _LAST_SECOND:
        raise FieldInvalid("ts")
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def read_payload(table: DeclarationTable) -> Payload | None:
    """Reads the table; None, with problems reported to it, when it can't be used."""
    body_format = table.take_choice("format", ("json", "form"))
    ts_format = table.take_choice("ts_format", TIME_FORMATS)
    message_id = _read_message_id(table)
    sender, recipient = _read_field(table, "from", required=True), _read_field(table, "to", required=True)
    items = read_expression(table, "items", roots=("body", "headers"))
    ts, text, kind = (_read_field(table, key) for key in ("ts", "text", "type"))
    ts_optional, phone_numbers = table.take_flag("ts_optional") or False, table.take_flag("phone_numbers") or False
    for key in ("ts_format", "ts_optional"):
        if table.has(key) and not table.has("ts"):
            table.report(key, "needs ts")
    table.finish()
    if message_id is None or sender is None or recipient is None:
        return None
    is_form = body_format == "form"
    return Payload(
        message_id,
        sender,
        recipient,
        items,
        ts,
        ts_format or "iso",
        text,
        kind,
        is_form,
        phone_numbers=phone_numbers,
        ts_optional=ts_optional,
    )


def _read_field(table: DeclarationTable, key: str, *, required: bool = False) -> Expression | None:
    if table.take_any(key) in ROOTS:
        table.report(key, "means all of it, which is no text; a field of this name is written item.NAME")
        return None
    return read_expression(table, key, required=required)


def _read_message_id(table: DeclarationTable) -> MessageId | None:
    value = table.take_any("message_id")
    if not isinstance(value, Mapping):
        field = _read_field(table, "message_id", required=True)
        return None if field is None else MessageId(field, None, sha256=False)
    inner = DeclarationTable(value, (*table.path, "message_id"), table.problems)
    field, header = _read_field(inner, "field"), read_header_name(inner, "header")
    sha256 = inner.take_choice("sha256", ("body",)) is not None
    inner.finish()
    if not (inner.has("field") or inner.has("header") or inner.has("sha256")):
        inner.report("", 'one of field, header, sha256 = "body" is needed')
    return MessageId(field, header, sha256)
