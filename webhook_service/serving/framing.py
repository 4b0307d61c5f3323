"""Finds, before anything is parsed, the end of a request in the bytes of a connection, and the request's kind.

This only decides which thread parses a request, and when. The length of a body is determined by RFC 9112, section 6.
"""

import re
from enum import Enum, auto

MAX_WHOLE = 64 * 1024
"""The size in bytes, head included, of the largest request that is waited for until it is whole."""

_DELIVERY = re.compile(rb"POST /webhook[/? ]")
_EXPORT = re.compile(rb"GET /export[? ]")
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)
_HAS_BODY = re.compile(rb"\r\n(content-length|transfer-encoding|expect)[ \t]*:", re.IGNORECASE)
_UNKNOWN_LENGTH = re.compile(rb"\r\n(transfer-encoding|expect)[ \t]*:", re.IGNORECASE)


class Kind(Enum):
    """The kind of the first request on a connection."""

    INCOMPLETE = auto()  # its rest is still to come
    DELIVERY = auto()  # a whole delivery
    OTHER = auto()  # a whole request of another kind
    LONG = auto()  # a request that is too large or too odd to wait for
    EXPORT = auto()  # a whole request whose answer is as long as what is stored


class RequestBuffer:
    """The bytes that have arrived on a connection and that no request has used yet."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._searched = 0  # the number of bytes in which the head does not end
        self._whole = 0  # the length of the first request, once its head is whole

    def __len__(self) -> int:
        return len(self._bytes)

    def add(self, data: bytes) -> None:
        """Adds received bytes."""
        self._bytes += data

    def length(self) -> int | None:
        """Returns the length of the first request in bytes; None when it is not known."""
        return self._whole or None

    def take(self) -> bytes:
        """Removes and returns all bytes."""
        taken = bytes(self._bytes)
        self._bytes.clear()
        self._searched = self._whole = 0
        return taken

    def kind(self) -> Kind:
        """Returns the kind of the first request. The cost over all calls is linear in the bytes that arrive."""
        if self._whole:
            return self._kind_by_length()
        end = self._bytes.find(_END_OF_HEAD, self._searched)
        if end < 0:
            self._searched = max(0, len(self._bytes) - len(_END_OF_HEAD) + 1)
            return Kind.INCOMPLETE if len(self._bytes) < MAX_WHOLE else Kind.LONG
        return self._kind_by_head(end + len(_END_OF_HEAD))

    def _kind_by_head(self, end: int) -> Kind:
        length = _LENGTH.search(self._bytes, 0, end)
        if length is None:
            if _HAS_BODY.search(self._bytes, 0, end):
                return Kind.LONG
            return Kind.EXPORT if _EXPORT.match(self._bytes) else Kind.OTHER
        if _UNKNOWN_LENGTH.search(self._bytes, 0, end):
            return Kind.LONG
        self._whole = end + int(length[1])
        return self._kind_by_length()

    def _kind_by_length(self) -> Kind:
        if self._whole > MAX_WHOLE:
            return Kind.LONG
        if len(self._bytes) < self._whole:
            return Kind.INCOMPLETE
        return Kind.DELIVERY if _DELIVERY.match(self._bytes) else Kind.OTHER
