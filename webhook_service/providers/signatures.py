"""Compares a claimed signature with those that a source's secrets make."""

import base64
import binascii
import hmac
from collections.abc import Collection, Iterable

from webhook_service.domain.errors import SignatureInvalid
from webhook_service.domain.results import Reason


def signing_secret(expected: Iterable[tuple[str, bytes]], claimed: Collection[bytes]) -> str:
    """Returns the label of the secret whose signature is among the claimed ones; SignatureInvalid when none is.

    Every pair is compared, each in constant time, so that the time taken does not tell which one matched.
    """
    matched = [label for label, signature in expected for claim in claimed if hmac.compare_digest(signature, claim)]
    if not matched:
        raise SignatureInvalid(Reason.WRONG_SIGNATURE)
    return matched[0]


def header_bytes(value: str) -> bytes:
    """Returns a header's value as it was sent: WSGI (PEP 3333) hands bytes over as if they were Latin-1."""
    return value.encode("latin-1", "replace")


def from_base64(text: str, length: int) -> bytes | None:
    """Decodes a padded base64 text (RFC 4648, section 4) of exactly ``length`` bytes; None for any other text."""
    if len(text) != 4 * -(-length // 3):
        return None
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return decoded if len(decoded) == length else None


def from_hex(text: str, length: int) -> bytes | None:
    """Decodes a hexadecimal text of exactly ``length`` bytes; None for any other text."""
    if len(text) != 2 * length:
        return None
    try:
        decoded = bytes.fromhex(text)
    except ValueError:
        return None
    return decoded if len(decoded) == length else None
