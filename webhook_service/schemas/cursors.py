"""Cursors: places in a list, as opaque text.

A cursor is the base64url form (RFC 4648, section 5, without padding) of a short digest and of the place as compact
JSON. The digest is over the place and the list that it belongs to, so that a cursor from a list with other filters is
refused instead of giving a page that nobody asked for. The digest involves no secret and needs none, since a place in a
list reveals nothing that the list itself does not; anyone can compute it, so the place is checked like any input.
"""

from abc import ABC, abstractmethod
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2s
from typing import Any, Generic, TypeVar

import orjson

from webhook_service.domain.formats import format_timestamp, parse_timestamp
from webhook_service.domain.limits import MESSAGE_ID_MAX, ROW_ID_MAX
from webhook_service.domain.messages import Position
from webhook_service.domain.paging import Page

DIGEST_SIZE = 8  # bytes: a cursor of another list passes for one of this list once in 2**64

Place = TypeVar("Place")


class CursorInvalid(Exception):
    """The text is not a cursor of this list."""


class Cursors(ABC, Generic[Place]):
    """The cursors of one list, which ``scope`` identifies by its name, order and filters."""

    def __init__(self, *scope: str | None) -> None:
        self._scope = orjson.dumps(scope)

    def write(self, place: Place) -> str:
        """Encodes a place as text that needs no escaping in a URL."""
        packed = orjson.dumps(self._pack(place))
        digest = blake2s(self._scope + packed, digest_size=DIGEST_SIZE).digest()
        return urlsafe_b64encode(digest + packed).rstrip(b"=").decode()

    def next(self, page: Page[Any, Place]) -> str | None:
        """Encodes the place after which the next page begins; None for the last page."""
        return None if page.next is None else self.write(page.next)

    def read(self, cursor: str) -> Place:
        """Decodes a cursor; CursorInvalid unless ``write`` returns the same text for the decoded place."""
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
        """Converts a place to JSON values."""

    @abstractmethod
    def _unpack(self, packed: Any) -> Place:
        """Converts a JSON value to a place; ValueError when it is not one."""


class RowCursors(Cursors[int]):
    """The cursors of a list in stored order. A place is the id of a row; 0 is before the first."""

    def _pack(self, place: int) -> list[str | int]:
        return [place]

    def _unpack(self, packed: Any) -> int:
        match packed:
            case [int(row_id)] if not isinstance(row_id, bool) and 0 <= row_id <= ROW_ID_MAX:
                return row_id
        raise ValueError("not the id of a row")


class PositionCursors(Cursors[Position]):
    """The cursors of a list of messages in the order of their time."""

    def _pack(self, place: Position) -> list[str | int]:
        return [format_timestamp(place.ts), place.message_id]

    def _unpack(self, packed: Any) -> Position:
        match packed:
            case [str(ts), str(message_id)] if len(message_id) <= MESSAGE_ID_MAX and "\x00" not in message_id:
                return Position(parse_timestamp(ts), message_id)
        raise ValueError("not the position of a message")
