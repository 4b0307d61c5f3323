"""Advice about refused deliveries: a sentence for each reason and each hint."""

from collections.abc import Mapping

from webhook_service.domain.activity import Activity
from webhook_service.domain.results import Reason
from webhook_service.providers.diagnosis import Hint

_OTHER_URL = "PUBLIC_URL is not the address that the provider calls: the {} differs."

_OF_HINTS: Mapping[str, str] = {
    Hint.BASE64_INSTEAD_OF_HEX: "The signature is in Base64. Send it in hex.",
    Hint.HEX_INSTEAD_OF_BASE64: "The signature is in hex. Send it in Base64.",
    Hint.TRAILING_NEWLINE: "The body was signed with another line end than it was sent with.",
    Hint.RESERIALIZED_BODY: "The body was written anew after it was signed. Sign the bytes that are sent.",
    Hint.SECRET_WITH_NEWLINE: "The sender's secret has a newline at its end.",
    Hint.SECRET_NOT_DECODED: "The sender uses the secret as text. Decode the Base64 after whsec_ first.",
    Hint.BODY_SIGNED_ALONE: "The body was signed alone. Sign ID, time and body, joined by dots.",
    Hint.CLOCK_SKEW: "The clocks of the sender and of this machine differ.",
    Hint.OTHER_SCHEME: _OTHER_URL.format("scheme (http or https)"),
    Hint.OTHER_PORT: _OTHER_URL.format("port"),
    Hint.OTHER_HOST: _OTHER_URL.format("host"),
    Hint.OTHER_PATH: _OTHER_URL.format("path"),
}
_OF_REASONS: Mapping[str, str] = {
    Reason.MISSING_SIGNATURE: "There was no signature. Does the sender have the secret?",
    Reason.MALFORMED_SIGNATURE: "The signature's header is not in the expected form.",
    Reason.WRONG_SIGNATURE: "The signature does not match. Compare the secret here and at the provider.",
    Reason.MISSING_WEBHOOK_ID: "The header webhook-id is missing.",
    Reason.MISSING_TIMESTAMP: "The header with the time is missing.",
    Reason.MALFORMED_TIMESTAMP: "The header with the time holds no time.",
    Reason.STALE_TIMESTAMP: "Its time is too far from this machine's: it is a repetition, or a clock is wrong.",
    Reason.BODY_TOO_LARGE: "The body is larger than MAX_BODY_BYTES.",
}


def advise(refused: Activity) -> str:
    """Returns advice about a refused delivery; the bare reason or hint if there is no sentence for it."""
    hint, reason = refused.last_hint or "", refused.last_reason or ""
    word, _, amount = hint.partition(" ")
    sentence = _OF_HINTS.get(word, hint) or _OF_REASONS.get(reason, reason)
    return f"{sentence} ({amount})" if amount and word in _OF_HINTS else sentence
