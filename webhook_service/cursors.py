"""Places in a list, as text that means something to this service alone.

A cursor is the base64url form (RFC 4648, section 5, without padding) of a short digest and of the place as compact
JSON. The digest is over the place and the list that it is a place in, so a cursor that was made up, cut, or taken from
a list with other filters is refused instead of giving a page that nobody asked for. It keeps no secret and needs none:
a place in a list opens nothing that the list itself does not.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2s
from typing import Any

import orjson

DIGEST_SIZE = 8  # bytes: a guess is right once in 2**64

Place = Sequence[str | int]
Scope = Sequence[str | None]


class CursorInvalid(Exception):
    """The cursor was not made by ``encode_cursor`` for this list."""


def encode_cursor(scope: Scope, place: Place) -> str:
    """A place in the list that ``scope`` names, as text that a URL may hold as it is."""
    packed = orjson.dumps(place)
    return _to_text(_digest(scope, packed) + packed)


def decode_cursor(scope: Scope, cursor: str) -> list[Any]:
    """The place that a cursor of this list stands for."""
    try:
        packed = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        raise CursorInvalid from None
    digest, place = packed[:DIGEST_SIZE], packed[DIGEST_SIZE:]
    # The decoder skips what is not base64; a cursor has one spelling.
    if digest != _digest(scope, place) or _to_text(packed) != cursor:
        raise CursorInvalid
    decoded: list[Any] = orjson.loads(place)
    return decoded


def _digest(scope: Scope, place: bytes) -> bytes:
    return blake2s(orjson.dumps(scope) + place, digest_size=DIGEST_SIZE).digest()


def _to_text(packed: bytes) -> str:
    return urlsafe_b64encode(packed).rstrip(b"=").decode()
