"""The native payload."""

import json
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from webhook_service.domain.errors import PayloadInvalid
from webhook_service.domain.formats import format_timestamp, parse_timestamp
from webhook_service.domain.limits import MESSAGE_ID_MAX, TEXT_MAX
from webhook_service.domain.messages import Message
from webhook_service.domain.results import Reason
from webhook_service.schemas.fields import PHONE_NUMBER, TimestampField, errors_by_field, no_nul, phone_number


class NativePayloadSchema(Schema):
    """The body of a native delivery; all other fields are kept as ``extra``."""

    message_id = fields.String(required=True, validate=[validate.Length(1, MESSAGE_ID_MAX), no_nul])
    sender = fields.String(required=True, data_key="from", validate=phone_number)
    recipient = fields.String(required=True, data_key="to", validate=phone_number)
    ts = TimestampField(required=True)
    text = fields.String(load_default=None, allow_none=True, validate=[validate.Length(max=TEXT_MAX), no_nul])


_native_payload = NativePayloadSchema(unknown=EXCLUDE)
_NATIVE_NAMES = frozenset(field.data_key or name for name, field in _native_payload.fields.items())


def load_native_payload(payload: dict[str, Any]) -> dict[str, Any]:
    """Loads a native payload as the fields of a Message, by name; PayloadInvalid when one is bad."""
    try:
        loaded: dict[str, Any] = _at_a_glance(payload) or _native_payload.load(payload)
    except ValidationError as invalid:
        raise PayloadInvalid(Reason.INVALID_FIELDS, errors_by_field(invalid)) from None
    extra = {name: value for name, value in payload.items() if name not in _NATIVE_NAMES}
    return {**loaded, "extra": extra or None}


def dump_native_payload(message: Message) -> bytes:
    """Returns the body that carries a message in the native contract."""
    payload = {
        "message_id": message.message_id,
        "from": message.sender,
        "to": message.recipient,
        "ts": format_timestamp(message.ts),
        "text": message.text,
    }
    return json.dumps(payload).encode()


def _at_a_glance(payload: dict[str, Any]) -> dict[str, Any] | None:
    """Loads a valid payload as the schema does; None for an invalid one, whose errors only the schema reports.

    Every native delivery comes through here, and the schema takes five times as long: docs/performance.md has the
    figures.
    """
    try:
        message_id, text = payload["message_id"], payload.get("text")
        sender, recipient = payload["from"], payload["to"]
        fits = (
            _is_text(message_id, shortest=1, longest=MESSAGE_ID_MAX)
            and (text is None or _is_text(text, shortest=0, longest=TEXT_MAX))
            and PHONE_NUMBER.match(sender)
            and PHONE_NUMBER.match(recipient)
        )
        ts = parse_timestamp(payload["ts"])
    except (KeyError, TypeError, ValueError):
        return None
    if not fits:
        return None
    return {"message_id": message_id, "sender": sender, "recipient": recipient, "ts": ts, "text": text}


def _is_text(value: Any, *, shortest: int, longest: int) -> bool:
    return isinstance(value, str) and shortest <= len(value) <= longest and "\x00" not in value
