"""Verification by a JSON Web Token (RFC 7519) that holds the hash of the body.

The algorithm is always the configured one. The algorithm that a token itself names is compared with that, and never
obeyed (RFC 8725, section 3.1).
"""

import hashlib
import hmac
import json
import math
from typing import Any

import jwt
from jwt.algorithms import HMACAlgorithm

from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.errors import PayloadInvalid, SignatureInvalid
from webhook_service.domain.results import Reason
from webhook_service.domain.secrets import Secrets
from webhook_service.providers.declarations.keys import (
    PublicKey,
    SecretUnusable,
    decode_key,
    load_private_key,
    load_public_key,
)
from webhook_service.providers.declarations.rules import Rules
from webhook_service.providers.declarations.schemes import CannotSign, SampleDraft, Scheme
from webhook_service.providers.declarations.templates import url_part
from webhook_service.providers.strict_json import loads_object

_TOKEN_MAX = 8 * 2**10  # characters
_NAMES = {"eddsa": "EdDSA"}  # algorithms whose names are not in capitals
_LIFETIME = 60  # seconds of a sample's token


_HASHES = {"hs256": HMACAlgorithm.SHA256, "hs384": HMACAlgorithm.SHA384, "hs512": HMACAlgorithm.SHA512}


class _PreparedHmac(HMACAlgorithm):
    """HMAC with keys that were checked when the configuration was read: the check takes longer than the HMAC itself.

    A short key is the provider's choice, so there is no warning about it with each delivery.
    """

    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else key.encode()

    def check_key_length(self, _key: bytes) -> None:
        return None


class JsonWebToken(Scheme):
    """A token in a header, signed with a shared secret or with the provider's private key."""

    def __init__(self, rules: Rules, secrets: Secrets) -> None:
        super().__init__(rules, secrets)
        self._algorithm = _NAMES.get(rules.algorithm, rules.algorithm.upper())
        self._jws = jwt.PyJWS(algorithms=[self._algorithm])
        if rules.algorithm.startswith("hs"):
            self._jws.unregister_algorithm(self._algorithm)
            self._jws.register_algorithm(self._algorithm, _PreparedHmac(_HASHES[rules.algorithm]))
        self._keys = [(label, _key(secret, rules)) for label, secret in secrets.labelled()]
        self._url = url_part(rules.public_url)

    def verify(self, delivery: Delivery) -> str:
        tokens = self.rules.signature.values(self.envelope(delivery), Reason.MISSING_SIGNATURE)
        if len(tokens) != 1 or len(tokens[0]) > _TOKEN_MAX or tokens[0].count(".") != 2:
            raise SignatureInvalid(Reason.MALFORMED_SIGNATURE)
        label, claims = self._decode(tokens[0])
        self._check_delivery(claims, delivery)
        self._check_time(claims, delivery.received_at.timestamp())
        return label

    def _decode(self, token: str) -> tuple[str, dict[str, Any]]:
        for label, key in self._keys:
            try:
                return label, loads_object(self._jws.decode(token, key, algorithms=[self._algorithm]))
            except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
                continue
            except (jwt.PyJWTError, PayloadInvalid, ValueError, TypeError, RecursionError):
                raise SignatureInvalid(Reason.MALFORMED_SIGNATURE) from None
        raise SignatureInvalid(Reason.WRONG_SIGNATURE)

    def _check_delivery(self, claims: dict[str, Any], delivery: Delivery) -> None:
        rules = self.rules.claims
        fits = (
            (not rules.body_sha256 or _is_hash_of(delivery.raw, claims.get(rules.body_sha256)))
            and (not rules.url_sha256 or _is_hash_of(self._url(self.envelope(delivery)), claims.get(rules.url_sha256)))
            and (not rules.issuer or claims.get("iss") == rules.issuer)
            and (not rules.audience or _names(claims.get("aud"), rules.audience))
        )
        if not fits:
            raise SignatureInvalid(Reason.WRONG_SIGNATURE)

    def _check_time(self, claims: dict[str, Any], now: float) -> None:
        issued, expires, earliest = (_seconds(claims, name) for name in ("iat", "exp", "nbf"))
        issued = earliest if issued is None else issued
        if issued is None:  # an expiry alone may be years away, and would let the token be replayed until then
            raise SignatureInvalid(Reason.MISSING_TIMESTAMP)
        tolerance = self.rules.tolerance
        is_stale = (
            abs(now - issued) > tolerance
            or (expires is not None and now > expires + tolerance)
            or (earliest is not None and now < earliest - tolerance)
        )
        if is_stale:
            raise SignatureInvalid(Reason.STALE_TIMESTAMP)

    def sign(self, draft: SampleDraft) -> None:
        key: Any = self._keys[0][1]
        if self.rules.key_pair is not None:
            if draft.private_key is None:
                raise CannotSign.without_key()
            key = load_private_key(draft.private_key, self.rules.key_pair)
        now = int(draft.moment.timestamp())
        claims: dict[str, Any] = {"iat": now, "nbf": now, "exp": now + _LIFETIME}
        rules = self.rules.claims
        if rules.body_sha256:
            claims[rules.body_sha256] = hashlib.sha256(draft.raw()).hexdigest()
        if rules.url_sha256:
            claims[rules.url_sha256] = hashlib.sha256(self._url(draft.envelope())).hexdigest()
        claims |= {name: value for name, value in (("iss", rules.issuer), ("aud", rules.audience)) if value}
        token = self._jws.encode(json.dumps(claims).encode(), key, algorithm=self._algorithm)
        draft.put(self.rules.signature, token)


def _key(secret: str, rules: Rules) -> bytes | PublicKey:
    if rules.key_pair is not None:
        return load_public_key(secret, rules.key_pair, rules.secret_encoding, rules.secret_prefix)
    key = decode_key(secret, rules.secret_encoding, rules.secret_prefix)
    try:
        return HMACAlgorithm(_HASHES[rules.algorithm]).prepare_key(key)
    except jwt.InvalidKeyError:
        raise SecretUnusable("a public key, with which anyone could sign by HMAC") from None


def _is_hash_of(content: bytes, claimed: object) -> bool:
    """Tells whether a claim is the hex SHA-256 of these bytes."""
    text = claimed.lower() if isinstance(claimed, str) else ""
    return hmac.compare_digest(text.encode("utf-8", "replace"), hashlib.sha256(content).hexdigest().encode())


def _names(audience: object, ours: str) -> bool:
    """Tells whether an audience, a text or a list of texts (RFC 7519, section 4.1.3), includes ``ours``."""
    return ours in audience if isinstance(audience, list) else audience == ours


def _seconds(claims: dict[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SignatureInvalid(Reason.MALFORMED_TIMESTAMP)
    return value
