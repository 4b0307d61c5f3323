"""Keys as providers hand them out: texts in one of several encodings."""

import base64
import binascii
from collections.abc import Callable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

SYMMETRIC_ENCODINGS = ("utf8", "base64", "hex")
PUBLIC_KEY_ENCODINGS = ("pem", "spki", "base64", "hex")

PublicKey = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey
PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey

_RSA_BITS = 2048  # the smallest key that counts as safe (NIST SP 800-131A)


class SecretUnusable(Exception):
    """A secret that its scheme can't use; the message says why, and shows nothing of the secret."""


def decode_key(secret: str, encoding: str, prefix: str = "") -> bytes:
    """Returns the bytes that a secret stands for; SecretUnusable when it is not in the encoding.

    The ``prefix`` may be missing. The padding of base64 may be missing, too, and both of its alphabets are accepted.
    """
    text = secret.removeprefix(prefix)
    if encoding == "utf8":
        key = text.encode()
    elif encoding == "hex":
        try:
            key = bytes.fromhex(text)
        except ValueError:
            raise SecretUnusable("not hexadecimal") from None
    else:
        key = _from_base64(text)
    if not key:
        raise SecretUnusable("empty")
    return key


def _from_base64(text: str) -> bytes:
    standard = text.strip().rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise SecretUnusable("not base64") from None


def load_public_key(secret: str, algorithm: str, encoding: str, prefix: str = "") -> PublicKey:
    """Returns the public key that a secret holds; SecretUnusable when it is no key for the algorithm.

    As ``pem`` it is the text from BEGIN PUBLIC KEY to END, as ``spki`` only the base64 in between; as ``base64`` or
    ``hex`` it is the 32 bytes of an Ed25519 key.
    """
    text = secret.removeprefix(prefix)
    try:
        key = _LOADERS[encoding](text)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SecretUnusable(f"not a public key in {encoding}") from None
    if algorithm == "ed25519" and isinstance(key, Ed25519PublicKey):
        return key
    if algorithm == "ecdsa-p256" and isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return key
    if algorithm == "rsa-sha256" and isinstance(key, RSAPublicKey) and key.key_size >= _RSA_BITS:
        return key
    raise SecretUnusable(f"not a key for {algorithm}")


_LOADERS: dict[str, Callable[[str], object]] = {
    "pem": lambda text: serialization.load_pem_public_key(text.encode()),
    "spki": lambda text: serialization.load_der_public_key(_from_base64("".join(text.split()))),
    "base64": lambda text: Ed25519PublicKey.from_public_bytes(_from_base64(text)),
    "hex": lambda text: Ed25519PublicKey.from_public_bytes(bytes.fromhex(text)),
}


def load_private_key(pem: str, algorithm: str) -> PrivateKey:
    """Returns the private key that a sample is signed with; SecretUnusable when it is no key for the algorithm."""
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SecretUnusable("not a private key in pem") from None
    if algorithm == "ed25519" and isinstance(key, Ed25519PrivateKey):
        return key
    if algorithm == "ecdsa-p256" and isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key
    if algorithm == "rsa-sha256" and isinstance(key, RSAPrivateKey):
        return key
    raise SecretUnusable(f"not a private key for {algorithm}")
