"""Diagnosis of refused signatures of declared providers: finds what would have made one match."""

from collections.abc import Iterator
from itertools import chain

from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.errors import SignatureInvalid
from webhook_service.providers.declarations.schemes import DIGEST_BYTES, Hmac, Scheme, SignedContent, decoder
from webhook_service.providers.declarations.timestamps import skew
from webhook_service.providers.diagnosis import LARGEST_BODY, Guess, Hint, body_guesses, first_match
from webhook_service.providers.urls import difference, other_urls

_OTHER_ENCODING = {
    "hex": ("base64", Hint.BASE64_INSTEAD_OF_HEX),
    "base64": ("hex", Hint.HEX_INSTEAD_OF_BASE64),
    "base64url": ("hex", Hint.HEX_INSTEAD_OF_BASE64),
}


def diagnose(scheme: Scheme, delivery: Delivery) -> str | None:
    """Finds what would have made the signature of a refused delivery match; None when nothing that was tried does."""
    if len(delivery.raw) > LARGEST_BODY or not isinstance(scheme, SignedContent):
        return None
    try:
        stale = _stale_by(scheme, delivery)
        if stale is not None:
            return f"{Hint.CLOCK_SKEW} {stale:+d} s"
        return _diagnose_hmac(scheme, delivery) if isinstance(scheme, Hmac) else None
    except SignatureInvalid:
        return None


def _stale_by(scheme: SignedContent, delivery: Delivery) -> int | None:
    """Returns the seconds by which the sender's clock is ahead of ours, if only the time is wrong; None otherwise."""
    try:
        _, claimed = scheme.authenticate(delivery)
    except SignatureInvalid:
        return None
    return None if claimed is None else skew(claimed, delivery.received_at)


def _diagnose_hmac(scheme: Hmac, delivery: Delivery) -> Hint | None:
    algorithm, encoding = scheme.rules.algorithm, scheme.rules.encoding
    texts = scheme.claimed_texts(delivery)
    length = DIGEST_BYTES[algorithm]
    expected = _decoded(texts, encoding, length)
    other, other_hint = _OTHER_ENCODING[encoding]
    in_other_form = _decoded(texts, other, length)
    claimed = expected + in_other_form
    if not claimed:
        return None
    keys = [key for _, key in scheme.keys]
    signed, _ = scheme.content(delivery)
    found = first_match(((other_hint, key, signed) for key in keys), in_other_form, algorithm)
    guesses = chain(
        _guesses(scheme, delivery, signed),
        body_guesses(keys, delivery.raw, lambda body: scheme.content(delivery, body)[0]),
        _urls(scheme, delivery, keys),
    )
    return found or first_match(guesses, claimed, algorithm)


def _decoded(texts: list[str], encoding: str, length: int) -> list[bytes]:
    decode = decoder(encoding, length)
    return [decoded for text in texts if (decoded := decode(text)) is not None]


def _guesses(scheme: Hmac, delivery: Delivery, signed: bytes) -> Iterator[Guess]:
    if scheme.rules.is_secret_encoded:
        for _, secret in scheme.secrets.labelled():
            yield Hint.SECRET_NOT_DECODED, secret.encode(), signed
            yield Hint.SECRET_NOT_DECODED, secret.removeprefix(scheme.rules.secret_prefix).encode(), signed
    if not scheme.rules.signed.is_body:
        for _, key in scheme.keys:
            yield Hint.BODY_SIGNED_ALONE, key, delivery.raw


def _urls(scheme: Hmac, delivery: Delivery, keys: list[bytes]) -> Iterator[Guess]:
    if "url" not in scheme.rules.signed.names:
        return
    expected = scheme.rules.public_url.rstrip("/") + delivery.target
    for url in other_urls(scheme.rules.public_url, delivery):
        content = scheme.content(delivery, url=url)[0]
        for key in keys:
            yield difference(url, expected), key, content
