"""The service's own scheme: one message in each delivery, signed with the hex HMAC-SHA256 of its bytes."""

import hmac
import re

from webhook_service.domain.deliveries import Contents, Delivery
from webhook_service.domain.errors import SignatureInvalid
from webhook_service.domain.messages import Message
from webhook_service.domain.results import Reason
from webhook_service.domain.sources import NATIVE
from webhook_service.providers.base import Provider, Sample
from webhook_service.providers.diagnosis import diagnose_hex_signature
from webhook_service.providers.signatures import signing_secret
from webhook_service.providers.strict_json import loads_object
from webhook_service.schemas.native import dump_native_payload, load_native_payload

SIGNATURE_HEADER = "X-Signature"

_SIGNATURE = re.compile(r"(?:sha256=)?([0-9a-f]{64})")


def sign(secret: str, raw: bytes) -> str:
    """Returns the signature of a body: HMAC-SHA256 (RFC 2104) in lower-case hex."""
    return hmac.digest(secret.encode(), raw, "sha256").hex()


class Native(Provider):
    """The service's own scheme, for any program that can compute an HMAC."""

    name = NATIVE
    secret_setting = "WEBHOOK_SECRET"  # noqa: S105  # a setting's name

    def verify(self, delivery: Delivery) -> str:
        header = delivery.headers.get(SIGNATURE_HEADER)
        if not header:
            raise SignatureInvalid(Reason.MISSING_SIGNATURE)
        claimed = _SIGNATURE.fullmatch(header.strip().lower())
        if claimed is None:
            raise SignatureInvalid(Reason.MALFORMED_SIGNATURE)
        expected = ((label, sign(secret, delivery.raw).encode()) for label, secret in self.secrets.labelled())
        return signing_secret(expected, [claimed[1].encode()])

    def parse(self, delivery: Delivery) -> Contents:
        payload = loads_object(delivery.raw)
        message = Message(
            provider=self.name,
            received_at=delivery.received_at,
            source=self.source_of(payload, delivery),
            **load_native_payload(payload),
        )
        return Contents(messages=(message,))

    def diagnose(self, delivery: Delivery) -> str | None:
        return diagnose_hex_signature(delivery, SIGNATURE_HEADER, self.secrets)

    def sample(self, message: Message, path: str | None = None) -> Sample:
        path = path or self.default_path()
        body = dump_native_payload(message)
        headers = {"Content-Type": "application/json", SIGNATURE_HEADER: sign(self.secrets.current, body)}
        return Sample(path, body, headers)
