"""Exports: which messages are asked for, and the lines of one on their way back in."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from webhook_service.domain import Message, MessageFilter, Order, PayloadInvalid, Position, Reason
from webhook_service.limits import ADDRESS_MAX, MESSAGE_ID_MAX, PROVIDER_MAX, WORD_MAX
from webhook_service.schemas.fields import Timestamp, errors_by_field, no_nul
from webhook_service.schemas.messages import MessageQuerySchema, read_position
from webhook_service.schemas.query import load_parameters, read_query_string


class ExportQuerySchema(MessageQuerySchema):
    """The query string of ``GET /export``: that of ``GET /messages`` but for what makes a page of it."""

    class Meta:
        exclude = ("limit", "offset", "order")

    format = fields.String(load_default="ndjson", validate=validate.OneOf(["ndjson", "csv"]))


@dataclass(frozen=True, slots=True)
class ExportQuery:
    """What a caller of ``GET /export`` asks for."""

    filter: MessageFilter
    format: str
    after: Position | None


class ExportedMessageSchema(Schema):
    """A line of an export, and what an import takes."""

    message_id = fields.String(required=True, validate=[validate.Length(1, MESSAGE_ID_MAX), no_nul])
    sender = fields.String(required=True, data_key="from", validate=[validate.Length(max=ADDRESS_MAX), no_nul])
    recipient = fields.String(required=True, data_key="to", validate=[validate.Length(max=ADDRESS_MAX), no_nul])
    ts = Timestamp(required=True)
    text = fields.String(load_default=None, allow_none=True, validate=no_nul)
    provider = fields.String(load_default="native", validate=[validate.Length(1, PROVIDER_MAX), no_nul])
    type = fields.String(load_default="text", validate=[validate.Length(1, WORD_MAX), no_nul])
    received_at = Timestamp()
    extra = fields.Dict(keys=fields.String(), load_default=None, allow_none=True)


_export_query = ExportQuerySchema(unknown=EXCLUDE)
_exported_message = ExportedMessageSchema(unknown=EXCLUDE)


def load_export_query(query_string: bytes) -> ExportQuery:
    """Reads which messages a query string asks for; QueryInvalid when a parameter is bad."""
    return load_export_parameters(read_query_string(query_string))


def load_export_parameters(parameters: Mapping[str, str]) -> ExportQuery:
    """Reads parameters by name, as ``load_export_query`` does those of a query string."""
    loaded = load_parameters(_export_query, parameters)
    format_, cursor = loaded.pop("format"), loaded.pop("cursor")
    wanted = MessageFilter(**loaded)
    after = read_position(wanted, Order.ASC, cursor)
    return ExportQuery(wanted, format_, after)


def load_exported_message(exported: Mapping[str, Any], received_at: datetime) -> Message:
    """Reads a line of an export; PayloadInvalid when a field is bad.

    ``received_at`` is for a line that doesn't say it.
    """
    try:
        loaded: dict[str, Any] = _exported_message.load(exported)
    except ValidationError as invalid:
        raise PayloadInvalid(Reason.INVALID_FIELDS, errors_by_field(invalid)) from None
    return Message(**{"received_at": received_at, **loaded})
