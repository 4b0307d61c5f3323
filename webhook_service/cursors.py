"""Opaque positions in a list, for its next page.

A cursor holds the position and a digest over it and the list that it belongs to, so that a damaged one, or one of
another list, is told from a good one instead of giving wrong pages. It grants nothing: it is no secret and needs none.
"""

import binascii
import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode

Position = list[str | int]

_DIGEST = 8  # bytes


class CursorInvalid(ValueError):
    """Not a cursor of this list."""


def encode_cursor(scope: str, position: Position) -> str:
    """The cursor for a position in the list that ``scope`` names: its path and every filter that chose its rows."""
    packed = json.dumps(position, separators=(",", ":")).encode()
    return urlsafe_b64encode(_digest(scope, packed) + packed).decode().rstrip("=")


def decode_cursor(scope: str, cursor: str) -> Position:
    """The position that a cursor of this list holds; CursorInvalid when it holds none."""
    try:
        decoded = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except (UnicodeEncodeError, binascii.Error) as error:
        raise CursorInvalid from error
    digest, packed = decoded[:_DIGEST], decoded[_DIGEST:]
    if digest != _digest(scope, packed):
        raise CursorInvalid
    position: Position = json.loads(packed)
    return position


def _digest(scope: str, packed: bytes) -> bytes:
    return hashlib.blake2s(packed, digest_size=_DIGEST, key=hashlib.blake2s(scope.encode()).digest()).digest()
