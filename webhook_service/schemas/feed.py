"""The feed."""

from collections.abc import Sequence
from dataclasses import dataclass

from marshmallow import EXCLUDE, Schema, fields, validate

from webhook_service.cursors import CursorInvalid, decode_cursor, encode_cursor
from webhook_service.domain import StoredMessage
from webhook_service.limits import FEED_DEFAULT, FEED_MAX
from webhook_service.schemas.fields import AsciiInteger
from webhook_service.schemas.query import QueryInvalid, load_query

_SCOPE = ("feed",)


class FeedQuerySchema(Schema):
    """The query string of ``GET /feed``."""

    after = fields.String(load_default=None)
    limit = AsciiInteger(load_default=FEED_DEFAULT, validate=validate.Range(1, FEED_MAX))


@dataclass(frozen=True, slots=True)
class FeedQuery:
    """The part of the feed that a caller of ``GET /feed`` asks for; ``after_id`` 0 is the beginning."""

    after_id: int
    limit: int


_feed_query = FeedQuerySchema(unknown=EXCLUDE)


def load_feed_query(query_string: bytes) -> FeedQuery:
    """The part of the feed that a query string asks for; QueryInvalid when a parameter is bad."""
    loaded = load_query(_feed_query, query_string)
    after: str | None = loaded["after"]
    try:
        after_id = 0 if after is None else decode_cursor(_SCOPE, after)[0]
    except CursorInvalid:
        raise QueryInvalid({"after": ["Not a place in the feed."]}) from None
    return FeedQuery(after_id, loaded["limit"])


def next_in_feed(query: FeedQuery, messages: Sequence[StoredMessage]) -> str:
    """What to ask for after these messages; the same place again when there are none."""
    return encode_cursor(_SCOPE, (messages[-1].id if messages else query.after_id,))
