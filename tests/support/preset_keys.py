"""Keys for the tests of the presets, with which each preset can both verify and sign."""

import base64
from collections.abc import Mapping
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from webhook_service.domain.secrets import Secrets
from webhook_service.providers.declared import Declaration, Declared, load_declaration
from webhook_service.providers.presets import PAGES, PRESETS

PUBLIC_URL = "https://inbox.example.com"
TOKEN = "the-token-of-the-handshake"
TEXT_SECRET = "a-secret-of-the-presets-tests-01"
BASE64_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

_ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_P256 = ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1())
PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


def table(name: str) -> Mapping[str, Any]:
    """Returns the shortest table of a source that uses a preset."""
    settings = " ".join(PAGES[name].get("settings", ()))
    own: dict[str, Any] = {"provider": name}
    if "public_url" in settings:
        own["public_url"] = PUBLIC_URL
    if "handshake.token" in settings:
        own["handshake"] = {"token": TOKEN}
    return own


@cache
def declaration(name: str) -> Declaration:
    """Returns the declaration of a preset."""
    return load_declaration(table(name))


def secret(name: str) -> str:
    """Returns a secret in the form in which the provider of a preset gives it out."""
    rules = declaration(name).rules
    if rules.scheme == "public_key":
        return public_text(rules.algorithm, rules.secret_encoding)
    return BASE64_SECRET if rules.secret_encoding == "base64" else TEXT_SECRET


def signing_key(name: str) -> str | None:
    """Returns the private key of the provider of a preset, in PEM; None if the secret signs."""
    rules = declaration(name).rules
    return None if rules.key_pair is None else pem(private_key(rules.algorithm))


def private_key(algorithm: str) -> PrivateKey:
    """Returns the private key of the tests for an algorithm."""
    return _P256 if algorithm == "ecdsa-p256" else _ED25519


def pem(key: PrivateKey) -> str:
    """Returns a private key in PEM."""
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def public_text(algorithm: str, encoding: str) -> str:
    """Returns the public key that belongs to ``private_key``, in an encoding of the declarations."""
    public = private_key(algorithm).public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    if encoding == "pem":
        return public.public_bytes(serialization.Encoding.PEM, spki).decode()
    if encoding == "spki":
        return base64.b64encode(public.public_bytes(serialization.Encoding.DER, spki)).decode()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return raw.hex() if encoding == "hex" else base64.b64encode(raw).decode()


def provider(name: str, own: Declaration | None = None) -> Declared:
    """Returns the provider of a preset, or of a variant of it, with the keys of the tests."""
    return Declared(own or declaration(name), Secrets(secret(name)), signing_key=signing_key(name))


NAMES = tuple(PRESETS)
