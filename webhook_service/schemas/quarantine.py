"""The quarantine: the list of its deliveries, and one as JSON."""

from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from marshmallow import EXCLUDE, Schema, fields, validate

from webhook_service.cursors import encode_cursor
from webhook_service.domain import QuarantineEntry
from webhook_service.formats import format_timestamp
from webhook_service.limits import PAGE_DEFAULT, PAGE_MAX
from webhook_service.schemas.fields import AsciiInteger
from webhook_service.schemas.query import load_query, read_position

_SCOPE = ("quarantine",)


class QuarantineQuerySchema(Schema):
    """The query string of ``GET /quarantine``."""

    limit = AsciiInteger(load_default=PAGE_DEFAULT, validate=validate.Range(1, PAGE_MAX))
    cursor = fields.String(load_default=None)


@dataclass(frozen=True, slots=True)
class QuarantineQuery:
    """One page that a caller of ``GET /quarantine`` asks for."""

    after: int
    limit: int

    def cursor(self, position: int) -> str:
        """The cursor for the page after that position."""
        return encode_cursor(_SCOPE, [position])


_quarantine_query = QuarantineQuerySchema(unknown=EXCLUDE)


def load_quarantine_query(query_string: bytes) -> QuarantineQuery:
    """The page that a query string asks for; QueryInvalid when a parameter is bad."""
    loaded = load_query(_quarantine_query, query_string)
    return QuarantineQuery(read_position(_SCOPE, loaded["cursor"]), loaded["limit"])


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
