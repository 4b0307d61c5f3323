"""Exports: the query for one, and the messages in one, as an import reads them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from webhook_service.domain.errors import PayloadInvalid
from webhook_service.domain.limits import PROVIDER_MAX, SOURCE_MAX, WORD_MAX
from webhook_service.domain.messages import Message, MessageFilter, Order, Position
from webhook_service.domain.results import Reason
from webhook_service.schemas.fields import TimestampField, errors_by_field, no_nul
from webhook_service.schemas.messages import MessageQuerySchema, read_position
from webhook_service.schemas.query import load_parameters, read_query_string


class ExportQuerySchema(MessageQuerySchema):
    """The query string of ``GET /export``: that of ``GET /messages`` without its page's limit, offset and order."""

    class Meta:
        exclude = ("limit", "offset", "order")

    format = fields.String(
        load_default="ndjson",
        validate=validate.OneOf(["ndjson", "csv"]),
        metadata={"description": "A message a line, as JSON or as cells."},
    )


@dataclass(frozen=True, slots=True)
class ExportQuery:
    """A request for an export of the messages that pass ``filter`` and come after a place, in a format."""

    filter: MessageFilter
    format: str
    after: Position | None


class ExportedMessageSchema(Schema):
    """A message in an export's NDJSON, as an import reads it.

    An ID or a number may be longer than in a delivery, as in those of the FastAPI original; if it is too long for the
    database, the database refuses it.
    """

    message_id = fields.String(required=True, validate=[validate.Length(min=1), no_nul])
    sender = fields.String(required=True, data_key="from", validate=no_nul)
    recipient = fields.String(required=True, data_key="to", validate=no_nul)
    ts = TimestampField(required=True)
    text = fields.String(load_default=None, allow_none=True, validate=no_nul)
    provider = fields.String(load_default="native", validate=[validate.Length(1, PROVIDER_MAX), no_nul])
    source = fields.String(load_default=None, allow_none=True, validate=[validate.Length(1, SOURCE_MAX), no_nul])
    type = fields.String(load_default="text", validate=[validate.Length(1, WORD_MAX), no_nul])
    received_at = TimestampField()
    extra = fields.Dict(keys=fields.String(), load_default=None, allow_none=True)


_export_query = ExportQuerySchema(unknown=EXCLUDE)
_exported_message = ExportedMessageSchema(unknown=EXCLUDE)


def load_export_query(query_string: bytes) -> ExportQuery:
    """Loads a query string; QueryInvalid when a parameter is bad."""
    return load_export_parameters(read_query_string(query_string))


def load_export_parameters(parameters: Mapping[str, str]) -> ExportQuery:
    """Loads parameters by name, as ``load_export_query`` loads those of a query string."""
    loaded = load_parameters(_export_query, parameters)
    format_, cursor = loaded.pop("format"), loaded.pop("cursor")
    wanted = MessageFilter(**loaded)
    after = read_position(wanted, Order.ASC, cursor)
    return ExportQuery(wanted, format_, after)


def load_exported_message(exported: Mapping[str, Any], received_at: datetime) -> Message:
    """Loads a message of an export; PayloadInvalid when a field is bad.

    ``received_at`` is used where the message has none.
    """
    try:
        loaded: dict[str, Any] = _exported_message.load(exported)
    except ValidationError as invalid:
        raise PayloadInvalid(Reason.INVALID_FIELDS, errors_by_field(invalid)) from None
    return Message(**{"received_at": received_at, **loaded})
