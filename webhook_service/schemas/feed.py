"""The feed: its query and its cursors."""

from dataclasses import dataclass
from datetime import datetime

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from webhook_service.domain.consumers import Edge
from webhook_service.domain.formats import parse_timestamp
from webhook_service.domain.limits import FEED_DEFAULT, FEED_MAX, WAIT_MAX
from webhook_service.schemas.cursors import CursorInvalid, RowCursors
from webhook_service.schemas.fields import AsciiInteger, no_nul
from webhook_service.schemas.query import QueryInvalid, load_query

FEED_CURSORS = RowCursors("feed")


NOW = "now"


def _is_time_or_now(since: str) -> None:
    try:
        if since != NOW:
            parse_timestamp(since)
    except ValueError:
        raise ValidationError("Not an ISO 8601 timestamp with a time zone, nor `now`.") from None


class WaitField(AsciiInteger):
    """The seconds for which an answer may be held back until there is something."""

    def __init__(self) -> None:
        super().__init__(
            load_default=0,
            validate=validate.Range(0, WAIT_MAX),
            metadata={"description": "Seconds for which the answer is held back until there is something."},
        )


class FeedQuerySchema(Schema):
    """The query string of ``GET /feed``."""

    after = fields.String(
        load_default=None,
        metadata={"description": "`next` of the last answer; without it the feed begins at the first message."},
    )
    since = fields.String(
        load_default=None,
        validate=_is_time_or_now,
        metadata={
            "description": "In place of `after`: begin with what was received at this time or later, or `now` with what"
            " comes.",
            "example": "2026-01-15T10:00:00Z",
        },
    )
    source = fields.String(
        load_default=None,
        validate=no_nul,
        metadata={
            "description": "Only messages of this source. An answer with none may have more after it: go on with `next`"
            " until that stays the same.",
            "example": "native",
        },
    )
    limit = AsciiInteger(
        load_default=FEED_DEFAULT,
        validate=validate.Range(1, FEED_MAX),
        metadata={"description": "Messages of an answer."},
    )
    wait = WaitField()


@dataclass(frozen=True, slots=True)
class FeedQuery:
    """A request for at most ``limit`` messages stored after the one with the id ``after``; 0 is before the first.

    If ``start`` is given, it begins there instead. With ``source``, only that source's messages are wanted. It may
    ``wait`` for so many seconds until there is a message.
    """

    after: int
    limit: int
    source: str | None = None
    wait: int = 0
    start: Edge | datetime | None = None


_feed_query = FeedQuerySchema(unknown=EXCLUDE)


def load_feed_query(query_string: bytes) -> FeedQuery:
    """Loads a query string; QueryInvalid when a parameter is bad."""
    loaded = load_query(_feed_query, query_string)
    after: str | None = loaded["after"]
    try:
        place = 0 if after is None else FEED_CURSORS.read(after)
    except CursorInvalid:
        raise QueryInvalid({"after": ["Not a place in the feed."]}) from None
    since: str | None = loaded["since"]
    if since is not None and after is not None:
        raise QueryInvalid({"since": ["Not with `after`."]})
    start = None if since is None else Edge.NOW if since == NOW else parse_timestamp(since)
    return FeedQuery(place, loaded["limit"], loaded["source"], loaded["wait"], start)
