"""Diagnosis of refused signatures: the result is one of a few hints for the operator's log.

A hint is found by trying what commonly goes wrong between a sender and a service, and seeing whether that gives the
claimed signature. The caller is told nothing of it.
"""

import hmac
import json
from collections.abc import Callable, Collection, Iterable, Iterator
from enum import StrEnum
from itertools import chain, product

from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.errors import PayloadInvalid
from webhook_service.domain.secrets import Secrets
from webhook_service.providers.signatures import from_base64, from_hex
from webhook_service.providers.strict_json import loads

LARGEST_BODY = 8 * 1024  # bytes; trying variants of a larger body costs more than the hint is worth


class Hint(StrEnum):
    """The change that would have made a refused signature match."""

    BASE64_INSTEAD_OF_HEX = "base64_instead_of_hex"
    HEX_INSTEAD_OF_BASE64 = "hex_instead_of_base64"
    TRAILING_NEWLINE = "trailing_newline"
    RESERIALIZED_BODY = "reserialized_body"
    SECRET_WITH_NEWLINE = "secret_with_newline"  # noqa: S105  # a hint, not a secret
    SECRET_NOT_DECODED = "secret_not_decoded"  # noqa: S105  # a hint, not a secret
    BODY_SIGNED_ALONE = "body_signed_alone"
    CLOCK_SKEW = "clock_skew"
    OTHER_SCHEME = "other_scheme"
    OTHER_PORT = "other_port"
    OTHER_HOST = "other_host"
    OTHER_PATH = "other_path"


Guess = tuple[Hint, bytes, bytes]
"""A hint, a key and a content: if their HMAC is the claimed signature, the hint is right."""


def body_guesses(keys: Iterable[bytes], raw: bytes, content: Callable[[bytes], bytes]) -> Iterator[Guess]:
    """Yields attempts for the usual mistakes with signed bodies; ``content`` makes the signed bytes from a body."""
    keys = tuple(keys)
    for key in keys:
        yield Hint.SECRET_WITH_NEWLINE, key + b"\n", content(raw)
    for hint, body in _other_bodies(raw):
        for key in keys:
            yield hint, key, content(body)


def first_match(guesses: Iterable[Guess], claimed: Collection[bytes], algorithm: str = "sha256") -> Hint | None:
    """Returns the hint of the first attempt whose HMAC is among the claimed ones; None when there is none."""
    for hint, key, content in guesses:
        signature = hmac.digest(key, content, algorithm)
        if any(hmac.compare_digest(signature, claim) for claim in claimed):
            return hint
    return None


def diagnose_hex_signature(delivery: Delivery, header: str, secrets: Secrets) -> Hint | None:
    """Finds what would have made the hex HMAC-SHA256 in ``header``, with or without ``sha256=``, match the body."""
    claim = (delivery.headers.get(header) or "").strip().removeprefix("sha256=")
    in_base64 = from_base64(claim, 32)
    claimed = in_base64 or from_hex(claim, 32)
    if claimed is None or len(delivery.raw) > LARGEST_BODY:
        return None
    keys = [secret.encode() for _, secret in secrets.labelled()]
    guesses = body_guesses(keys, delivery.raw, lambda body: body)
    if in_base64:
        guesses = chain(((Hint.BASE64_INSTEAD_OF_HEX, key, delivery.raw) for key in keys), guesses)
    return first_match(guesses, [claimed])


def _other_bodies(raw: bytes) -> Iterator[tuple[Hint, bytes]]:
    stripped = raw.rstrip(b"\r\n")
    for body in (stripped, stripped + b"\n", stripped + b"\r\n"):
        yield Hint.TRAILING_NEWLINE, body
    try:
        value = loads(raw, locates=False)
        for spaced, ascii_only, escaped in product((False, True), repeat=3):
            yield Hint.RESERIALIZED_BODY, _serialize(value, spaced=spaced, ascii_only=ascii_only, escaped=escaped)
    except (PayloadInvalid, RecursionError):
        return


def _serialize(value: object, *, spaced: bool, ascii_only: bool, escaped: bool) -> bytes:
    separators = (", ", ": ") if spaced else (",", ":")
    text = json.dumps(value, separators=separators, ensure_ascii=ascii_only)
    # PHP writes a slash with a backslash before it, and so does Meta.
    return (text.replace("/", "\\/") if escaped else text).encode()
