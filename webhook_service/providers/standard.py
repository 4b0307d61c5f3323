"""Senders of Standard Webhooks: the native payload or the specification's own, signed with an ID and a time.

Specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import Any

from webhook_service.domain.deliveries import Contents, Delivery
from webhook_service.domain.errors import PayloadInvalid, SignatureInvalid
from webhook_service.domain.formats import parse_timestamp
from webhook_service.domain.limits import MESSAGE_ID_MAX, WORD_MAX
from webhook_service.domain.messages import Message
from webhook_service.domain.results import Reason
from webhook_service.domain.secrets import Secrets
from webhook_service.providers.base import Provider, Sample, SettingProblem
from webhook_service.providers.diagnosis import LARGEST_BODY, Guess, Hint, body_guesses, first_match
from webhook_service.providers.fields import FieldInvalid, short_text
from webhook_service.providers.signatures import from_base64, from_hex, header_bytes, signing_secret
from webhook_service.providers.strict_json import loads_object
from webhook_service.schemas.native import dump_native_payload, load_native_payload

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"
TOLERANCE = 300  # seconds between the sender's clock and ours, either way

_SECRET_PREFIX = "whsec_"  # noqa: S105  # how secrets begin
_SIGNATURES_EXAMINED = 16  # a rotation needs two
_DIGEST_BYTES = 32
_VERSION = "v1"  # symmetric; v1a is not HMAC
_EVENT_FIELDS = frozenset({"type", "timestamp", "data"})
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


def decode_standard_secret(secret: str) -> bytes:
    """Returns the key in ``whsec_<base64>``; prefix and padding may be missing. ValueError when it is no key."""
    encoded = secret.removeprefix(_SECRET_PREFIX).rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if not key:
        raise ValueError("empty")
    return key


def sign(key: bytes, webhook_id: bytes, timestamp: bytes, raw: bytes) -> bytes:
    """Returns the HMAC-SHA256 of ``id.timestamp.body``."""
    # hmac.digest would hand the interpreter's lock to another thread, which takes longer than the digest does.
    return hmac.new(key, signed_content(webhook_id, timestamp, raw), "sha256").digest()


def signed_content(webhook_id: bytes, timestamp: bytes, raw: bytes) -> bytes:
    """Returns the bytes that a signature is made over."""
    return b".".join((webhook_id, timestamp, raw))


class Standard(Provider):
    """A sender that signs by the Standard Webhooks specification."""

    name = "standard"
    secret_setting = "STANDARD_WEBHOOKS_SECRET"  # noqa: S105  # a setting's name
    kept_headers = (*Provider.kept_headers, ID_HEADER)

    def __init__(self, secrets: Secrets, options: Mapping[str, str]) -> None:
        super().__init__(secrets, options)
        self._keys = [(label, decode_standard_secret(secret)) for label, secret in secrets.labelled()]

    @classmethod
    def problems(cls, secrets: Secrets, _options: Mapping[str, str]) -> list[SettingProblem]:
        problems = []
        for label, secret in secrets.labelled():
            try:
                decode_standard_secret(secret)
            except ValueError:
                problems.append(SettingProblem(label, f"not base64, with or without {_SECRET_PREFIX} before it"))
        return problems

    def verify(self, delivery: Delivery) -> str:
        webhook_id = _header(delivery, ID_HEADER, Reason.MISSING_WEBHOOK_ID)
        timestamp = _header(delivery, TIMESTAMP_HEADER, Reason.MISSING_TIMESTAMP)
        claimed = _claimed_signatures(_header(delivery, SIGNATURE_HEADER, Reason.MISSING_SIGNATURE))
        if not _TIMESTAMP.fullmatch(timestamp):
            raise SignatureInvalid(Reason.MALFORMED_TIMESTAMP)
        if not claimed:
            raise SignatureInvalid(Reason.MALFORMED_SIGNATURE)
        content = signed_content(header_bytes(webhook_id), timestamp.encode(), delivery.raw)
        label = signing_secret(((label, hmac.digest(key, content, "sha256")) for label, key in self._keys), claimed)
        # The time is checked last, so that 'stale' means a replay or a wrong clock and nothing else.
        if abs(_skew(timestamp, delivery.received_at)) > TOLERANCE:
            raise SignatureInvalid(Reason.STALE_TIMESTAMP)
        return label

    def parse(self, delivery: Delivery) -> Contents:
        payload = loads_object(delivery.raw)
        source = self.source_of(payload, delivery)
        if payload.keys() >= _EVENT_FIELDS and "message_id" not in payload:
            return Contents(messages=(_event(payload, delivery, source),))
        fields = load_native_payload(payload)
        message = Message(provider=self.name, received_at=delivery.received_at, source=source, **fields)
        return Contents(messages=(message,))

    def diagnose(self, delivery: Delivery) -> str | None:
        webhook_id = delivery.headers.get(ID_HEADER) or ""
        timestamp = delivery.headers.get(TIMESTAMP_HEADER) or ""
        signatures = delivery.headers.get(SIGNATURE_HEADER) or ""
        in_base64, in_hex = _claimed_signatures(signatures), _claimed_signatures(signatures, from_hex)
        if not (in_base64 or in_hex) or len(delivery.raw) > LARGEST_BODY:
            return None

        def content(body: bytes) -> bytes:
            return signed_content(header_bytes(webhook_id), header_bytes(timestamp), body)

        keys = [key for _, key in self._keys]
        signed = content(delivery.raw)
        if _TIMESTAMP.fullmatch(timestamp) and first_match(((Hint.CLOCK_SKEW, key, signed) for key in keys), in_base64):
            return f"{Hint.CLOCK_SKEW} {_skew(timestamp, delivery.received_at):+d} s"
        in_other_form = first_match(((Hint.HEX_INSTEAD_OF_BASE64, key, signed) for key in keys), in_hex)
        return in_other_form or first_match(
            chain(self._guesses(signed, delivery.raw), body_guesses(keys, delivery.raw, content)), in_base64 + in_hex
        )

    def _guesses(self, signed: bytes, raw: bytes) -> Iterator[Guess]:
        for _, secret in self.secrets.labelled():
            yield Hint.SECRET_NOT_DECODED, secret.encode(), signed
            yield Hint.SECRET_NOT_DECODED, secret.removeprefix(_SECRET_PREFIX).encode(), signed
        for _, key in self._keys:
            yield Hint.BODY_SIGNED_ALONE, key, raw

    def sample(self, message: Message, path: str | None = None) -> Sample:
        path = path or self.default_path()
        body = dump_native_payload(message)
        webhook_id, timestamp = f"msg_{message.message_id}", str(int(message.received_at.timestamp()))
        signature = sign(self._keys[0][1], webhook_id.encode(), timestamp.encode(), body)
        headers = {
            "Content-Type": "application/json",
            ID_HEADER: webhook_id,
            TIMESTAMP_HEADER: timestamp,
            SIGNATURE_HEADER: f"{_VERSION}," + base64.b64encode(signature).decode(),
        }
        return Sample(path, body, headers)


def _event(payload: dict[str, Any], delivery: Delivery, source: str | None) -> Message:
    """Reads the payload that the specification recommends, ``{"type", "timestamp", "data"}``; it has no addresses."""
    try:
        return Message(
            message_id=short_text(delivery.headers.get(ID_HEADER), ID_HEADER, MESSAGE_ID_MAX),
            provider=Standard.name,
            sender=Standard.name,
            recipient=Standard.name,
            ts=parse_timestamp(short_text(payload["timestamp"], "timestamp", WORD_MAX)),
            received_at=delivery.received_at,
            type=short_text(payload["type"], "type", WORD_MAX),
            extra={name: value for name, value in payload.items() if name not in ("type", "timestamp")},
            source=source,
        )
    except FieldInvalid as invalid:
        raise PayloadInvalid(Reason.INVALID_FIELDS, {invalid.field: ["Missing or not storable."]}) from None
    except ValueError:
        raise PayloadInvalid(Reason.INVALID_FIELDS, {"timestamp": ["Not an ISO 8601 timestamp with a zone."]}) from None


def _header(delivery: Delivery, name: str, missing: Reason) -> str:
    value = delivery.headers.get(name)
    if not value:
        raise SignatureInvalid(missing)
    return value


def _claimed_signatures(header: str, decode: Callable[[str, int], bytes | None] = from_base64) -> list[bytes]:
    """Returns the well-formed ``v1`` signatures among the first ones in a header; other versions are ignored."""
    claimed = []
    for part in header.split(" ", _SIGNATURES_EXAMINED)[:_SIGNATURES_EXAMINED]:
        version, _, signature = part.partition(",")
        decoded = decode(signature, _DIGEST_BYTES) if version == _VERSION else None
        if decoded is not None:
            claimed.append(decoded)
    return claimed


def _skew(timestamp: str, received_at: datetime) -> int:
    """Returns the seconds by which the sender's clock is ahead of ours."""
    return int(timestamp) - int(received_at.timestamp())
