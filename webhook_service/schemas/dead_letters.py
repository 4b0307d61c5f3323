"""Dead letters: the queries of their calls, their cursors, and a dead letter as JSON."""

from dataclasses import dataclass
from typing import Any

from marshmallow import EXCLUDE, Schema, fields

from webhook_service.domain.consumers import ConsumerKind, DeadLetter, DeadLetterFilter
from webhook_service.domain.formats import format_timestamp
from webhook_service.schemas.cursors import RowCursors
from webhook_service.schemas.fields import TimestampField, no_nul
from webhook_service.schemas.messages import present_message
from webhook_service.schemas.query import PageQuerySchema, QueryInvalid, load_query, read_cursor


class DeadLetterFilterSchema(Schema):
    """The query string of ``POST /dead-letters/retry``."""

    consumer = fields.String(load_default=None, validate=no_nul, metadata={"description": "Of this consumer."})
    destination = fields.String(load_default=None, validate=no_nul, metadata={"description": "Of this destination."})
    since = TimestampField(load_default=None, metadata={"description": "Set aside at this time or later."})


class DeadLetterQuerySchema(DeadLetterFilterSchema, PageQuerySchema):
    """The query string of ``GET /dead-letters``."""


@dataclass(frozen=True, slots=True)
class DeadLetterQuery:
    """A request for at most ``limit`` dead letters after the one with the id ``after``; 0 is before the first."""

    filter: DeadLetterFilter
    after: int
    limit: int


_filter, _query = DeadLetterFilterSchema(unknown=EXCLUDE), DeadLetterQuerySchema(unknown=EXCLUDE)


def load_dead_letter_query(query_string: bytes) -> DeadLetterQuery:
    """Loads a query string; QueryInvalid when a parameter is bad."""
    loaded = load_query(_query, query_string)
    wanted = _filter_of(loaded)
    cursor = loaded["cursor"]
    after = 0 if cursor is None else read_cursor(dead_letter_cursors(wanted), cursor)
    return DeadLetterQuery(wanted, after, loaded["limit"])


def load_dead_letter_filter(query_string: bytes) -> DeadLetterFilter:
    """Loads a query string; QueryInvalid when a parameter is bad."""
    return _filter_of(load_query(_filter, query_string))


def _filter_of(loaded: dict[str, Any]) -> DeadLetterFilter:
    consumer, destination, since = loaded["consumer"], loaded["destination"], loaded["since"]
    if consumer is not None and destination is not None:
        raise QueryInvalid({"destination": ["Not with `consumer`."]})
    if destination is not None:
        return DeadLetterFilter(ConsumerKind.DESTINATION, destination, since)
    return DeadLetterFilter(None if consumer is None else ConsumerKind.CONSUMER, consumer, since)


def dead_letter_cursors(wanted: DeadLetterFilter) -> RowCursors:
    """Returns the cursors of the list of dead letters that pass a filter."""
    since = None if wanted.since is None else format_timestamp(wanted.since)
    return RowCursors("dead letters", wanted.kind, wanted.consumer, since)


def present_dead_letter(dead_letter: DeadLetter) -> dict[str, Any]:
    """Converts a dead letter to its JSON object, for ``encode_json``."""
    return {
        "id": dead_letter.id,
        dead_letter.kind.value: dead_letter.consumer,
        "reason": dead_letter.reason,
        "attempts": dead_letter.attempts,
        "created_at": dead_letter.created_at,
        "message": present_message(dead_letter.message),
    }
