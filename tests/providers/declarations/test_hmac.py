"""Declared providers that sign with an HMAC."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.support.declared import SECRET, TABLE, declared
from tests.support.provider_deliveries import MESSAGE, RECEIVED_AT, delivery_of, delivery_of_sample
from webhook_service.domain.errors import SignatureInvalid
from webhook_service.domain.secrets import DefaultLabel, Secrets
from webhook_service.providers.declared import Declared, load_declaration

BODY = b'{"id": "m-1", "from": "a", "to": "b", "at": "2026-03-01T12:00:00Z", "text": "Hello"}'
BODY_HASH = hashlib.sha256(BODY)
NOW = str(int(RECEIVED_AT.timestamp()))


def mac(content: bytes, key: bytes = SECRET.encode(), algorithm: str = "sha256") -> bytes:
    return hmac.digest(key, content, algorithm)


STRIPE_LIKE: Mapping[str, Any] = {
    "verify": {
        "signature": {"header": "X-Signature", "split": ",", "separator": "=", "key": "v1"},
        "timestamp": {"header": "X-Signature", "split": ",", "separator": "=", "key": "t"},
        "signed": "{timestamp}.{body}",
    }
}


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("hex", bytes.hex),
        ("base64", lambda signature: base64.b64encode(signature).decode()),
        ("base64url", lambda signature: base64.urlsafe_b64encode(signature).decode().rstrip("=")),
    ],
)
def test_each_algorithm_passes_in_each_encoding(algorithm: str, encoding: str, encode: Any) -> None:
    provider = declared({"verify": {"algorithm": algorithm, "encoding": encoding}})
    headers = {"X-Signature": encode(mac(BODY, algorithm=algorithm))}

    label = provider.verify(delivery_of(BODY, headers))

    assert label is DefaultLabel.CURRENT
    with pytest.raises(SignatureInvalid, match="wrong_signature"):
        provider.verify(delivery_of(BODY + b" ", headers))


@pytest.mark.parametrize(
    ("signed", "content"),
    [
        ("v0:{timestamp}:{body}", b"v0:" + NOW.encode() + b":" + BODY),
        ("{method}{url}{timestamp}{body}", b"POSThttps://inbox.example.com/webhook?a=1&b=2" + NOW.encode() + BODY),
        (
            "{timestamp}{header:X-Nonce}{query:b}{sha256:body}",
            f"{NOW}nonce2{BODY_HASH.hexdigest()}".encode(),
        ),
        ("{timestamp}\n{sha256-bytes:body}", NOW.encode() + b"\n" + BODY_HASH.digest()),
        ("{{{timestamp}}}{body}", b"{" + NOW.encode() + b"}" + BODY),
        ("{field:id}{timestamp}{body}", b"m-1" + NOW.encode() + BODY),
    ],
)
def test_what_is_signed_is_a_template(signed: str, content: bytes) -> None:
    provider = declared(
        {"public_url": "https://inbox.example.com/", "verify": {"signed": signed, "timestamp": {"header": "X-Time"}}}
    )
    headers = {"X-Signature": mac(content).hex(), "X-Time": NOW, "X-Nonce": "nonce"}

    label = provider.verify(delivery_of(BODY, headers, target="/webhook?a=1&b=2"))

    assert label is DefaultLabel.CURRENT


def test_the_fields_of_a_form_are_signed_in_their_order() -> None:
    provider = declared({"verify": {"signed": "{form:sorted}"}, "payload": {"format": "form"}})
    body = b"b=2&a=1&a=0&%C3%A9=%26"

    label = provider.verify(delivery_of(body, {"X-Signature": mac("a0a1b2é&".encode()).hex()}))

    assert label is DefaultLabel.CURRENT


@pytest.mark.parametrize(
    ("encoding", "secret"),
    [("base64", base64.b64encode(b"key").decode()), ("hex", b"key".hex()), ("utf8", "key")],
)
@pytest.mark.parametrize("prefix", ["", "whsec_"])
def test_secrets_are_decoded(encoding: str, secret: str, prefix: str) -> None:
    provider = declared(
        {"verify": {"secret_encoding": encoding, "secret_prefix": "whsec_"}}, secret=prefix + secret, previous=secret
    )

    label = provider.verify(delivery_of(BODY, {"X-Signature": mac(BODY, b"key").hex()}))

    assert label is DefaultLabel.CURRENT


@pytest.mark.parametrize("place", [{"query": "sig"}, {"query": "sig", "prefix": "v1="}, {"header": "X-Signature"}])
def test_a_sample_is_signed_wherever_the_signature_stands(place: dict[str, str]) -> None:
    verify = {"signed": "{timestamp}.{body}", "timestamp": {"query": "t"}}
    table = {**TABLE, "verify": {**TABLE["verify"], **verify, "signature": place}}
    provider = Declared(load_declaration(table), Secrets(SECRET))

    label = provider.verify(delivery_of_sample(provider.sample(MESSAGE)))

    assert label is DefaultLabel.CURRENT


def test_one_of_several_signatures_and_one_of_two_secrets_are_enough() -> None:
    provider = declared(STRIPE_LIKE, secret="new", previous="old")
    signatures = [mac(f"{NOW}.".encode() + BODY, key).hex() for key in (b"other", b"old")]
    header = f"v0=x, t={NOW}, " + ",".join(f"v1={signature}" for signature in signatures)

    label = provider.verify(delivery_of(BODY, {"X-Signature": header}))

    assert label is DefaultLabel.PREVIOUS


@pytest.mark.parametrize("unit", ["s", "ms", "iso"])
@pytest.mark.parametrize(("seconds", "passes"), [(-61, False), (-60, True), (60, True), (61, False)])
def test_only_what_was_signed_around_now_passes(unit: str, seconds: int, passes: bool) -> None:
    provider = declared(
        {
            "verify": {
                "signed": "{timestamp}{body}",
                "timestamp": {"header": "X-Time", "unit": unit, "tolerance": 60},
            }
        }
    )
    delivery = delivery_of_sample(provider.sample(MESSAGE))
    late = replace(delivery, received_at=RECEIVED_AT + timedelta(seconds=seconds))

    if passes:
        assert provider.verify(late) is DefaultLabel.CURRENT
    else:
        with pytest.raises(SignatureInvalid, match="stale_timestamp"):
            provider.verify(late)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "missing_signature"),
        ("", "missing_signature"),
        (f"t={NOW}", "malformed_signature"),
        (f"t={NOW},v1=", "malformed_signature"),
        (f"t={NOW},v1={'g' * 64}", "malformed_signature"),
        (f"v1={'0' * 64}", "malformed_timestamp"),
        (f"t=,v1={'0' * 64}", "malformed_timestamp"),
        (f"t={NOW},t={NOW},v1={'0' * 64}", "malformed_timestamp"),
        (f"t={'9' * 400},v1={'0' * 64}", "malformed_timestamp"),
        (f"t=-1,v1={'0' * 64}", "malformed_timestamp"),
        (f"t={NOW},v1={'0' * 64}", "wrong_signature"),
    ],
)
def test_each_fault_has_its_reason(header: str | None, reason: str) -> None:
    provider = declared(STRIPE_LIKE)
    headers = {} if header is None else {"X-Signature": header}

    with pytest.raises(SignatureInvalid, match=reason):
        provider.verify(delivery_of(BODY, headers))


def test_a_part_that_is_signed_and_was_not_sent_is_named_so() -> None:
    provider = declared({"verify": {"signed": "{header:X-Nonce}{body}"}})

    with pytest.raises(SignatureInvalid, match="missing_signed_value"):
        provider.verify(delivery_of(BODY, {"X-Signature": "0" * 64}))
