"""The feed: its query and its places."""

from dataclasses import dataclass

from marshmallow import EXCLUDE, Schema, fields, validate

from webhook_service.domain.limits import FEED_DEFAULT, FEED_MAX, WAIT_MAX
from webhook_service.schemas.cursors import CursorInvalid, RowCursors
from webhook_service.schemas.fields import AsciiInteger, no_nul
from webhook_service.schemas.query import QueryInvalid, load_query

FEED_CURSORS = RowCursors("feed")


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

    With ``source``, only for those of it. It may ``wait`` for so many seconds until there is one.
    """

    after: int
    limit: int
    source: str | None = None
    wait: int = 0


_feed_query = FeedQuerySchema(unknown=EXCLUDE)


def load_feed_query(query_string: bytes) -> FeedQuery:
    """Loads a query string; QueryInvalid when a parameter is bad."""
    loaded = load_query(_feed_query, query_string)
    after: str | None = loaded["after"]
    try:
        place = 0 if after is None else FEED_CURSORS.read(after)
    except CursorInvalid:
        raise QueryInvalid({"after": ["Not a place in the feed."]}) from None
    return FeedQuery(place, loaded["limit"], loaded["source"], loaded["wait"])
