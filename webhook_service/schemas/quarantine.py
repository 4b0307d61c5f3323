"""The quarantine: the query for a page of it, its cursors, and a quarantined delivery as JSON."""

from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from marshmallow import EXCLUDE, Schema, fields

from webhook_service.domain.quarantine import QuarantineEntry, QuarantineSummary
from webhook_service.schemas.cursors import RowCursors
from webhook_service.schemas.fields import no_nul
from webhook_service.schemas.query import PageQuerySchema, load_query, read_cursor


class QuarantineQuerySchema(PageQuerySchema):
    """The query string of ``GET /quarantine`` and of ``POST /quarantine/replay``."""

    reason = fields.String(load_default=None, validate=no_nul)
    source = fields.String(load_default=None, validate=no_nul)


@dataclass(frozen=True, slots=True)
class QuarantineQuery:
    """A request for at most ``limit`` entries after the one with the id ``after``; 0 is before the first.

    With ``reason``, only those that are kept for that reason; with ``source``, only those that came to it.
    """

    after: int
    limit: int
    reason: str | None
    source: str | None


class ReplaySchema(Schema):
    """The query string of ``POST /quarantine/<id>/replay``."""

    rename = fields.Boolean(truthy={"true"}, falsy={"false"}, load_default=False)


_replay_query = ReplaySchema(unknown=EXCLUDE)
_quarantine_query = QuarantineQuerySchema(unknown=EXCLUDE)


def load_quarantine_query(query_string: bytes) -> QuarantineQuery:
    """Loads a query string; QueryInvalid when a parameter is bad."""
    loaded = load_query(_quarantine_query, query_string)
    cursor, reason, source = loaded["cursor"], loaded["reason"], loaded["source"]
    after = 0 if cursor is None else read_cursor(quarantine_cursors(reason, source), cursor)
    return QuarantineQuery(after, loaded["limit"], reason, source)


def quarantine_cursors(reason: str | None, source: str | None = None) -> RowCursors:
    """Returns the cursors of the list of quarantined deliveries, or of those with a reason or of a source."""
    if source is not None:
        return RowCursors("quarantine", reason, source)
    return RowCursors("quarantine") if reason is None else RowCursors("quarantine", reason)


def load_replay_query(query_string: bytes) -> bool:
    """Returns whether messages in conflict are to be stored under IDs of their own; QueryInvalid for a bad query."""
    rename: bool = load_query(_replay_query, query_string)["rename"]
    return rename


def present_quarantined(summary: QuarantineSummary) -> dict[str, Any]:
    """Converts a quarantined delivery to its JSON object in a list, for ``encode_json``."""
    return {
        "id": summary.id,
        "source": summary.source,
        "provider": summary.provider,
        "reason": summary.reason,
        "problems": summary.problems,
        "first_at": summary.first_at,
        "last_at": summary.last_at,
        "count": summary.count,
        "size": summary.size,
    }


def present_quarantined_whole(entry: QuarantineEntry) -> dict[str, Any]:
    """Converts a whole quarantined delivery to its JSON object; ``body`` is null if it is not UTF-8."""
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
