"""The service's own scheme: one message a delivery, signed with the hex HMAC-SHA256 of its bytes."""

import hmac
import re

from webhook_service.domain import Contents, Delivery, Message, Reason, SecretAge, SignatureInvalid
from webhook_service.providers.base import Provider
from webhook_service.schemas import load_native_payload
from webhook_service.strict_json import loads_object

SIGNATURE_HEADER = "X-Signature"

_SIGNATURE = re.compile(r"(?:sha256=)?([0-9a-f]{64})")


def sign(secret: str, raw: bytes) -> str:
    """The signature of a body: HMAC-SHA256 (RFC 2104) in lower-case hex."""
    return hmac.digest(secret.encode(), raw, "sha256").hex()


class Native(Provider):
    """Any program that can compute an HMAC."""

    name = "native"
    secret_setting = "WEBHOOK_SECRET"  # noqa: S105  # a setting's name

    def verify(self, delivery: Delivery) -> SecretAge:
        header = delivery.headers.get(SIGNATURE_HEADER)
        if not header:
            raise SignatureInvalid(Reason.MISSING_SIGNATURE)
        claimed = _SIGNATURE.fullmatch(header.strip().lower())
        if claimed is None:
            raise SignatureInvalid(Reason.MALFORMED_SIGNATURE)
        for age, secret in self._secrets.by_age():
            if hmac.compare_digest(sign(secret, delivery.raw), claimed[1]):
                return age
        raise SignatureInvalid(Reason.WRONG_SIGNATURE)

    def parse(self, delivery: Delivery) -> Contents:
        payload = load_native_payload(loads_object(delivery.raw))
        message = Message(provider=self.name, received_at=delivery.received_at, **payload)
        return Contents(messages=(message,))
