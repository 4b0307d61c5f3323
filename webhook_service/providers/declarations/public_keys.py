"""Schemes in which only the provider has the key that signs: Ed25519 (RFC 8032), ECDSA over P-256, and RSA."""

import base64
import binascii
from collections.abc import Iterator

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.errors import SignatureInvalid
from webhook_service.domain.results import Reason
from webhook_service.domain.secrets import Secrets
from webhook_service.providers.declarations.keys import PrivateKey, PublicKey, load_private_key, load_public_key
from webhook_service.providers.declarations.rules import Rules
from webhook_service.providers.declarations.schemes import CannotSign, SampleDraft, SignedContent, encode

_LONGEST = 512  # bytes of a signature: RSA with 4096 bits
_SIGNATURES = 4  # the most signatures that are tried: each costs as much as twenty HMACs


class PublicKeys(SignedContent):
    """Signatures that anyone can verify and only the provider can make; the secrets are its public keys."""

    def __init__(self, rules: Rules, secrets: Secrets) -> None:
        super().__init__(rules, secrets)
        self._keys = [
            (label, load_public_key(secret, rules.algorithm, rules.secret_encoding, rules.secret_prefix))
            for label, secret in secrets.labelled()
        ]

    def authenticate(self, delivery: Delivery) -> tuple[str, int | None]:
        claimed = list(self._claimed(delivery))[:_SIGNATURES]
        content, at = self.content(delivery)
        if not claimed:
            raise SignatureInvalid(Reason.MALFORMED_SIGNATURE)
        # All that is compared is public, so the time that it takes gives nothing away.
        label = next((label for label, key in self._keys for claim in claimed if _matches(key, claim, content)), None)
        if label is None:
            raise SignatureInvalid(Reason.WRONG_SIGNATURE)
        return label, at

    def _claimed(self, delivery: Delivery) -> Iterator[bytes]:
        for text in self.claimed_texts(delivery):
            decoded = _decode(text, self.rules.encoding)
            if decoded is not None:
                yield decoded

    def sign(self, draft: SampleDraft) -> None:
        if draft.private_key is None:
            raise CannotSign.without_key()
        signature = _sign(load_private_key(draft.private_key, self.rules.algorithm), self.prepare(draft))
        draft.put(self.rules.signature, encode(signature, self.rules.encoding))


def _matches(key: PublicKey, signature: bytes, content: bytes) -> bool:
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, content)
        elif isinstance(key, EllipticCurvePublicKey):
            key.verify(signature, content, ECDSA(SHA256()))
        else:
            key.verify(signature, content, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def _sign(key: PrivateKey, content: bytes) -> bytes:
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(content)
    if isinstance(key, EllipticCurvePrivateKey):
        return key.sign(content, ECDSA(SHA256()))
    return key.sign(content, PKCS1v15(), SHA256())


def _decode(text: str, encoding: str) -> bytes | None:
    if len(text) > 2 * _LONGEST:
        return None
    try:
        if encoding == "hex":
            return bytes.fromhex(text)
        if encoding == "base64":
            return base64.b64decode(text, validate=True)
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
