"""The quarantine: the list of its deliveries, and one as JSON."""

from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from marshmallow import EXCLUDE

from webhook_service.cursors import RowCursors
from webhook_service.domain import QuarantineEntry, QuarantineSummary
from webhook_service.schemas.query import PageSchema, load_query, read_cursor

QUARANTINE_CURSORS = RowCursors("quarantine")


@dataclass(frozen=True, slots=True)
class QuarantineQuery:
    """The page that a caller of ``GET /quarantine`` asks for; ``after`` is the id of an entry, 0 before all."""

    after: int
    limit: int


_quarantine_query = PageSchema(unknown=EXCLUDE)


def load_quarantine_query(query_string: bytes) -> QuarantineQuery:
    """Reads which page a query string asks for; QueryInvalid when a parameter is bad."""
    loaded = load_query(_quarantine_query, query_string)
    cursor = loaded["cursor"]
    return QuarantineQuery(0 if cursor is None else read_cursor(QUARANTINE_CURSORS, cursor), loaded["limit"])


def present_quarantined(summary: QuarantineSummary) -> dict[str, Any]:
    """A quarantined delivery as its JSON object in a list, for ``encode_json``."""
    return {
        "id": summary.id,
        "provider": summary.provider,
        "reason": summary.reason,
        "problems": summary.problems,
        "first_at": summary.first_at,
        "last_at": summary.last_at,
        "count": summary.count,
        "size": summary.size,
    }


def present_quarantined_whole(entry: QuarantineEntry) -> dict[str, Any]:
    """A quarantined delivery with all that is kept of it; ``body`` is null where it is not UTF-8."""
    raw = entry.delivery.raw
    try:
        body = raw.decode()
    except UnicodeDecodeError:
        body = None
    return {
        **present_quarantined(entry.summary),
        "target": entry.delivery.target,
        "headers": dict(entry.delivery.headers),
        "body": body,
        "body_base64": b64encode(raw).decode(),
    }
