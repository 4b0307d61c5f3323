"""The schemes beside HMAC: tokens, Basic authentication, public keys, JSON Web Tokens."""

import base64
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.support.declared import TABLE, declared
from tests.support.preset_keys import pem, private_key
from tests.support.provider_deliveries import MESSAGE, delivery_of, delivery_of_sample
from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.errors import SignatureInvalid
from webhook_service.domain.secrets import DefaultLabel, Secrets
from webhook_service.providers.declared import CannotSign, Declared, SecretUnusable, load_declaration

BODY = b"{}"
PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def made(verify: dict[str, Any], *secrets: str, signing_key: str | None = None, **own: Any) -> Declared:
    declaration = load_declaration({**TABLE, **own, "verify": verify})
    return Declared(declaration, Secrets(*secrets), signing_key=signing_key)


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def key_of(algorithm: str) -> PrivateKey:
    return rsa_key() if algorithm in ("rsa-sha256", "rs256") else private_key(NAMES.get(algorithm, algorithm))


NAMES = {"es256": "ecdsa-p256", "eddsa": "ed25519"}


def private_pem(key: PrivateKey) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def public(key: PrivateKey, encoding: str = "pem") -> str:
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    if encoding == "spki":
        return base64.b64encode(key.public_key().public_bytes(serialization.Encoding.DER, spki)).decode()
    return key.public_key().public_bytes(serialization.Encoding.PEM, spki).decode()


def verdict(own: Declared, delivery: Delivery) -> str:
    try:
        return own.verify(delivery)
    except SignatureInvalid as refused:
        return refused.reason


@pytest.mark.parametrize(
    ("place", "headers", "target"),
    [
        ({"header": "X-Token"}, {"X-Token": "new"}, "/"),
        ({"header": "Authorization", "prefix": "Bearer "}, {"Authorization": "bearer new"}, "/"),
        ({"query": "token"}, {}, "/?x=1&token=new&token=other"),
        ({"field": "auth.token"}, {}, "/"),
    ],
)
def test_a_token_is_compared_wherever_it_stands(place: dict[str, str], headers: dict[str, str], target: str) -> None:
    verify = {"scheme": "token", "signature": place}
    delivery = delivery_of(b'{"auth": {"token": "new"}}', headers, target=target)

    assert verdict(made(verify, "new"), delivery) == DefaultLabel.CURRENT
    assert verdict(made(verify, "newer", "new"), delivery) == DefaultLabel.PREVIOUS
    assert verdict(made(verify, "newer"), delivery) == "wrong_signature"
    assert verdict(made(verify, "new"), delivery_of(BODY, {})) == "missing_signature"


def test_a_token_that_is_sent_along_is_kept_nowhere_but_in_the_body() -> None:
    in_query = made({"scheme": "token", "signature": {"query": "token"}}, "s3cret")
    in_field = made({"scheme": "token", "signature": {"field": "auth.token"}}, "s3cret")
    item = b'{"id": "1", "from": "a", "to": "b", "at": "2026-03-01T12:00:00Z", "auth": {"token": "s3cret"}, "n": 1}'

    (message,) = in_field.parse(delivery_of(item, {})).messages

    assert in_query.kept_target("/webhook/x?token=s3cret&a=b") == "/webhook/x"
    assert message.extra == {"n": 1}


@pytest.mark.parametrize("token", ["ne", "new ", "neww", "NEW", "é", "new,new"])
def test_any_other_token_is_refused(token: str) -> None:
    own = made({"scheme": "token", "signature": {"header": "X-Token"}}, "new")
    expected = DefaultLabel.CURRENT if token.strip() == "new" else "wrong_signature"

    assert verdict(own, delivery_of(BODY, {"X-Token": token})) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Basic " + base64.b64encode(b"me:pass:word").decode(), "current"),
        ("basic " + base64.b64encode(b"me:pass:word").decode(), "current"),
        ("Basic " + base64.b64encode("me:pässword".encode()).decode(), "previous"),
        ("Basic " + base64.b64encode(b"me:password").decode(), "wrong_signature"),
        ("Basic !", "malformed_signature"),
        ("Bearer " + base64.b64encode(b"me:pass:word").decode(), "malformed_signature"),
        ("", "missing_signature"),
    ],
)
def test_basic_authentication_is_user_and_password(header: str, expected: str) -> None:
    own = made({"scheme": "basic"}, "me:pass:word", "me:pässword")

    assert verdict(own, delivery_of(BODY, {"Authorization": header})) == expected


@pytest.mark.parametrize("scheme", ["token", "basic"])
@pytest.mark.parametrize("place", [{"header": "X-Token"}, {"query": "token"}])
def test_their_samples_pass(scheme: str, place: dict[str, str]) -> None:
    verify = {"scheme": "token", "signature": place} if scheme == "token" else {"scheme": "basic"}
    own = made(verify, "me:secret&=")

    assert own.verify(delivery_of_sample(own.sample(MESSAGE))) is DefaultLabel.CURRENT


@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa-p256", "rsa-sha256"])
@pytest.mark.parametrize("encoding", ["hex", "base64", "base64url"])
@pytest.mark.parametrize("secret_encoding", ["pem", "spki"])
def test_each_public_key_verifies_what_its_private_key_signs(
    algorithm: str, encoding: str, secret_encoding: str
) -> None:
    key = key_of(algorithm)
    verify = {
        **TABLE["verify"],
        "scheme": "public_key",
        "algorithm": algorithm,
        "encoding": encoding,
        "secret_encoding": secret_encoding,
    }
    own = made(verify, public(key, secret_encoding), signing_key=private_pem(key))
    delivery = delivery_of_sample(own.sample(MESSAGE))

    assert verdict(own, delivery) == DefaultLabel.CURRENT
    assert verdict(own, replace(delivery, raw=delivery.raw + b" ")) == "wrong_signature"
    assert verdict(own, replace(delivery, headers={"X-Signature": "!"})) == "malformed_signature"
    assert verdict(own, replace(delivery, headers={})) == "missing_signature"


@pytest.mark.parametrize("algorithm", ["hs256", "hs384", "hs512", "rs256", "es256", "eddsa"])
def test_each_algorithm_of_tokens_verifies_what_it_signs(algorithm: str) -> None:
    symmetric = algorithm.startswith("hs")
    key = None if symmetric else key_of(algorithm)
    verify: dict[str, Any] = {
        "scheme": "jwt",
        "algorithm": algorithm,
        "claims": {"body_sha256": "body", "url_sha256": "url", "issuer": "acme", "audience": "inbox"},
        **({} if symmetric else {"secret_encoding": "pem"}),
    }
    secret = "a short one" if key is None else public(key)
    own = made(
        verify, secret, signing_key=None if key is None else private_pem(key), public_url="https://inbox.example.com"
    )
    delivery = delivery_of_sample(own.sample(MESSAGE))

    assert verdict(own, delivery) == DefaultLabel.CURRENT
    assert verdict(own, replace(delivery, raw=delivery.raw + b" ")) == "wrong_signature"
    assert verdict(own, replace(delivery, target="/webhook/other")) == "wrong_signature"
    claims = {**verify["claims"], "issuer": "another"}
    another = made({**verify, "claims": claims}, secret, public_url="https://inbox.example.com")
    assert verdict(another, delivery) == "wrong_signature"


def test_a_short_rsa_key_is_refused() -> None:
    verify = {**TABLE["verify"], "scheme": "public_key", "algorithm": "rsa-sha256", "secret_encoding": "pem"}

    with pytest.raises(SecretUnusable, match="not a key for rsa-sha256"):
        made(verify, public(rsa_key(1024)))


@pytest.mark.parametrize(
    "signed", ["{query:nonce}{body}", "{field:token}.{body}", "{field:meta.id}{header:X-Id}{body}"]
)
def test_a_sample_holds_whatever_is_signed_beside_the_body(signed: str) -> None:
    own = declared({"verify": {"signed": signed}})

    delivery = delivery_of_sample(own.sample(MESSAGE))

    assert own.verify(delivery) == "current"
    assert own.parse(delivery).messages[0].message_id == MESSAGE.message_id


@pytest.mark.parametrize(
    "own",
    [
        {"verify": {"timestamp": {"field": "id", "prefix": "t"}, "signed": "{field:id.x}{body}"}},
        {"verify": {"signed": "{field:id.x}{body}"}, "payload": {"items": "body[]"}},
        {"payload": {"items": "body[]", "format": "form"}},
    ],
)
def test_tables_that_fit_no_sample_say_so(own: dict[str, Any]) -> None:
    with pytest.raises(CannotSign):
        declared(own).sample(MESSAGE)


def test_a_private_key_is_no_secret_of_a_receiver() -> None:
    verify = {**TABLE["verify"], "scheme": "public_key", "algorithm": "ed25519", "secret_encoding": "pem"}

    with pytest.raises(SecretUnusable, match="not a public key"):
        made(verify, pem(private_key("ed25519")))
