"""The service's own scheme: one message a delivery, signed with the hex HMAC-SHA256 of its bytes."""

import hmac
import json
import re
from itertools import chain

from webhook_service.domain.deliveries import Contents, Delivery
from webhook_service.domain.errors import SignatureInvalid
from webhook_service.domain.formats import format_timestamp
from webhook_service.domain.messages import Message
from webhook_service.domain.results import Reason
from webhook_service.domain.secrets import SecretAge, Secrets
from webhook_service.providers.base import Provider, Sample
from webhook_service.providers.diagnosis import LARGEST_BODY, Hint, body_attempts, first_match
from webhook_service.providers.signatures import from_base64, from_hex, signing_secret
from webhook_service.providers.strict_json import loads_object
from webhook_service.schemas.native import load_native_payload

SIGNATURE_HEADER = "X-Signature"

_SIGNATURE = re.compile(r"(?:sha256=)?([0-9a-f]{64})")


def sign(secret: str, raw: bytes) -> str:
    """The signature of a body: HMAC-SHA256 (RFC 2104) in lower-case hex."""
    return hmac.digest(secret.encode(), raw, "sha256").hex()


def native_payload(message: Message) -> bytes:
    """The body that carries a message in the native contract."""
    payload = {
        "message_id": message.message_id,
        "from": message.sender,
        "to": message.recipient,
        "ts": format_timestamp(message.ts),
        "text": message.text,
    }
    return json.dumps(payload).encode()


def diagnose_hex_signature(delivery: Delivery, header: str, secrets: Secrets) -> Hint | None:
    """Finds what would have made the hex HMAC-SHA256 in ``header``, with or without ``sha256=``, match the body."""
    claim = (delivery.headers.get(header) or "").strip().removeprefix("sha256=")
    in_base64 = from_base64(claim, 32)
    claimed = in_base64 or from_hex(claim, 32)
    if claimed is None or len(delivery.raw) > LARGEST_BODY:
        return None
    keys = [secret.encode() for _, secret in secrets.by_age()]
    attempts = body_attempts(keys, delivery.raw, lambda body: body)
    if in_base64:
        attempts = chain(((Hint.BASE64_INSTEAD_OF_HEX, key, delivery.raw) for key in keys), attempts)
    return first_match(attempts, [claimed])


class Native(Provider):
    """The service's own scheme, for any program that can compute an HMAC."""

    name = "native"
    secret_setting = "WEBHOOK_SECRET"  # noqa: S105  # a setting's name

    @classmethod
    def path(cls) -> str:
        return "/webhook"

    def verify(self, delivery: Delivery) -> SecretAge:
        header = delivery.headers.get(SIGNATURE_HEADER)
        if not header:
            raise SignatureInvalid(Reason.MISSING_SIGNATURE)
        claimed = _SIGNATURE.fullmatch(header.strip().lower())
        if claimed is None:
            raise SignatureInvalid(Reason.MALFORMED_SIGNATURE)
        expected = ((age, sign(secret, delivery.raw).encode()) for age, secret in self.secrets.by_age())
        return signing_secret(expected, [claimed[1].encode()])

    def parse(self, delivery: Delivery) -> Contents:
        payload = load_native_payload(loads_object(delivery.raw))
        message = Message(provider=self.name, received_at=delivery.received_at, **payload)
        return Contents(messages=(message,))

    def diagnose(self, delivery: Delivery) -> str | None:
        return diagnose_hex_signature(delivery, SIGNATURE_HEADER, self.secrets)

    def sample(self, message: Message) -> Sample:
        body = native_payload(message)
        headers = {"Content-Type": "application/json", SIGNATURE_HEADER: sign(self.secrets.current, body)}
        return Sample(self.path(), body, headers)
