"""Places in a list, as text that means something to this service alone.

A cursor is the base64url form (RFC 4648, section 5, without padding) of a short digest and of the place as compact
JSON. The digest is over the place and the list that it is a place in, so that a cursor from a list with other filters
is refused instead of giving a page that nobody asked for. It keeps no secret and needs none, since a place in a list
opens nothing that the list itself does not; anyone can compute it, so the place is checked as any input is.
"""

from abc import ABC, abstractmethod
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2s
from typing import Any, Generic, TypeVar

import orjson

from webhook_service.domain import Page, Position
from webhook_service.formats import format_timestamp, parse_timestamp
from webhook_service.limits import MESSAGE_ID_MAX, ROW_ID_MAX

DIGEST_SIZE = 8  # bytes: a cursor of another list passes for one of this once in 2**64

Place = TypeVar("Place")


class CursorInvalid(Exception):
    """The cursor stands for no place in this list."""


class Cursors(ABC, Generic[Place]):
    """The cursors of one list: ``scope`` is its name, its order and its filters."""

    def __init__(self, *scope: str | None) -> None:
        self._scope = orjson.dumps(scope)

    def write(self, place: Place) -> str:
        """Writes a place as text that a URL may hold as it is."""
        packed = orjson.dumps(self._pack(place))
        digest = blake2s(self._scope + packed, digest_size=DIGEST_SIZE).digest()
        return urlsafe_b64encode(digest + packed).rstrip(b"=").decode()

    def next(self, page: Page[Any, Place]) -> str | None:
        """Writes the place after which the next page begins; None when this is the last."""
        return None if page.next is None else self.write(page.next)

    def read(self, cursor: str) -> Place:
        """Reads the place that a cursor stands for; CursorInvalid when ``write`` makes no such cursor."""
        try:
            decoded = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            place = self._unpack(orjson.loads(decoded[DIGEST_SIZE:]))
        except ValueError:
            raise CursorInvalid from None
        if self.write(place) != cursor:
            raise CursorInvalid
        return place

    @abstractmethod
    def _pack(self, place: Place) -> list[str | int]:
        """A place as JSON."""

    @abstractmethod
    def _unpack(self, packed: Any) -> Place:
        """The place that a JSON value stands for; ValueError when it is none."""


class RowCursors(Cursors[int]):
    """Cursors of a list in stored order, whose places are the ids of rows; 0 is before all."""

    def _pack(self, place: int) -> list[str | int]:
        return [place]

    def _unpack(self, packed: Any) -> int:
        match packed:
            case [int(row_id)] if not isinstance(row_id, bool) and 0 <= row_id <= ROW_ID_MAX:
                return row_id
        raise ValueError("not the id of a row")


class PositionCursors(Cursors[Position]):
    """Cursors of a list of messages by their time."""

    def _pack(self, place: Position) -> list[str | int]:
        return [format_timestamp(place.ts), place.message_id]

    def _unpack(self, packed: Any) -> Position:
        match packed:
            case [str(ts), str(message_id)] if len(message_id) <= MESSAGE_ID_MAX and "\x00" not in message_id:
                return Position(parse_timestamp(ts), message_id)
        raise ValueError("not the position of a message")
