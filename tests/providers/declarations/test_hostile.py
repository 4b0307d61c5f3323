"""Hostile deliveries to declared providers: each ends in a documented refusal, in bounded work, and shows no secret."""

import base64
import hmac
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from time import thread_time
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.declared import SECRET, TABLE, declared
from tests.support.preset_keys import NAMES, pem, private_key, provider, public_text
from tests.support.provider_deliveries import MESSAGE, RECEIVED_AT, delivery_of, delivery_of_sample
from webhook_service.domain.errors import PayloadInvalid, SignatureInvalid
from webhook_service.domain.secrets import DefaultLabel, Secrets
from webhook_service.providers.declared import Declared, SecretUnusable, load_declaration
from webhook_service.providers.presets import PRESETS

BODY = b"{}"
NOW = int(RECEIVED_AT.timestamp())
LISTED: Mapping[str, Any] = {
    "verify": {
        "signature": {"header": "X-Signature", "split": ",", "separator": "=", "key": "v1"},
        "timestamp": {"header": "X-Signature", "split": ",", "separator": "=", "key": "t"},
        "signed": "{timestamp}.{body}",
    }
}


def mac(content: bytes) -> str:
    return hmac.digest(SECRET.encode(), content, "sha256").hex()


def token_verifier(algorithm: str, secret: str, **verify: str) -> Declared:
    own = {"scheme": "jwt", "algorithm": algorithm, "claims": {"body_sha256": "hash"}, **verify}
    return Declared(load_declaration({**TABLE, "verify": own}), Secrets(secret))


def claims(**changed: Any) -> dict[str, Any]:
    return {"iat": NOW, "hash": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", **changed}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def by_hand(header: dict[str, Any], payload: dict[str, Any], key: bytes) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, payload)]
    signature = base64.urlsafe_b64encode(hmac.digest(key, b".".join(parts), "sha256")).rstrip(b"=")
    return b".".join((*parts, signature)).decode()


def test_algorithm_confusion_a_token_signed_by_hmac_with_the_public_key_is_refused() -> None:
    public = public_text("ecdsa-p256", "pem")
    verifier = token_verifier("es256", public, secret_encoding="pem")
    honest = jwt.encode(claims(), pem(private_key("ecdsa-p256")), algorithm="ES256")

    assert verifier.verify(delivery_of(BODY, bearer(honest))) is DefaultLabel.CURRENT
    for key in (public.encode(), public.strip().encode()):
        with pytest.raises(SignatureInvalid, match="wrong_signature"):
            verifier.verify(delivery_of(BODY, bearer(by_hand({"alg": "HS256", "typ": "JWT"}, claims(), key))))


def test_algorithm_confusion_a_public_key_is_no_secret_of_an_hmac() -> None:
    with pytest.raises(SecretUnusable, match="public key"):
        token_verifier("hs256", public_text("ecdsa-p256", "pem"))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", None, 0, ["HS256"], {"alg": "HS256"}])
def test_a_token_that_names_no_algorithm_is_refused(alg: Any) -> None:
    verifier = token_verifier("hs256", SECRET)
    signed = by_hand({"alg": alg, "typ": "JWT"}, claims(), SECRET.encode())

    for token in (signed, signed.rpartition(".")[0] + "."):
        with pytest.raises(SignatureInvalid):
            verifier.verify(delivery_of(BODY, bearer(token)))


@pytest.mark.parametrize("alg", ["HS384", "HS512", "RS256", "ES256", "EdDSA"])
def test_the_algorithm_is_never_taken_from_the_token(alg: str) -> None:
    verifier = token_verifier("hs256", SECRET)
    token = by_hand({"alg": alg, "typ": "JWT"}, claims(), SECRET.encode())

    with pytest.raises(SignatureInvalid, match="wrong_signature"):
        verifier.verify(delivery_of(BODY, bearer(token)))


@pytest.mark.parametrize(
    "header", [{"jwk": {"kty": "oct", "k": "AA"}}, {"jku": "https://x.example"}, {"kid": "../../key"}]
)
def test_a_key_is_never_taken_from_the_token(header: dict[str, Any]) -> None:
    verifier = token_verifier("hs256", SECRET)

    with pytest.raises(SignatureInvalid, match="wrong_signature"):
        verifier.verify(delivery_of(BODY, bearer(by_hand({"alg": "HS256", **header}, claims(), b"\x00"))))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"hash": "0" * 64}, "wrong_signature"),
        ({"hash": None}, "wrong_signature"),
        ({"hash": ["44136fa3"]}, "wrong_signature"),
        ({"iat": NOW - 301}, "stale_timestamp"),
        ({"iat": NOW + 301}, "stale_timestamp"),
        ({"iat": 10**400}, "malformed_signature"),
        ({"iat": True}, "malformed_timestamp"),
        ({"iat": "soon"}, "malformed_timestamp"),
        ({"iat": None}, "missing_timestamp"),
        ({"iat": None, "exp": NOW + 60}, "missing_timestamp"),
        ({"iat": None, "nbf": NOW - 301}, "stale_timestamp"),
        ({"exp": NOW - 301}, "stale_timestamp"),
        ({"nbf": NOW + 301}, "stale_timestamp"),
    ],
)
def test_each_claim_is_checked(changed: dict[str, Any], reason: str) -> None:
    token = by_hand({"alg": "HS256"}, claims(**changed), SECRET.encode())

    with pytest.raises(SignatureInvalid, match=reason):
        token_verifier("hs256", SECRET).verify(delivery_of(BODY, bearer(token)))


def test_duplicate_signature_headers_joined_by_the_server_are_no_signature() -> None:
    signature = mac(BODY)

    with pytest.raises(SignatureInvalid, match="malformed_signature"):
        declared().verify(delivery_of(BODY, {"X-Signature": f"{signature},{signature}"}))


def test_a_second_timestamp_beside_the_signed_one_is_refused() -> None:
    signature = mac(f"{NOW}.".encode() + BODY)
    for header in (f"t={NOW},v1={signature},t={NOW + 1}", f"t={NOW - 9999},v1={signature},t={NOW}"):
        with pytest.raises(SignatureInvalid, match="malformed_timestamp"):
            declared(LISTED).verify(delivery_of(BODY, {"X-Signature": header}))


@pytest.mark.parametrize("value", ["\r\nX-Signature: {}", "{}\r\nX-Other: 1", "{}\x00", "{}\n", "\u00a0{}\u2028"])
def test_header_splitting_gives_nothing_that_passes(value: str) -> None:
    delivery = replace(delivery_of(BODY, {}), headers={"X-Signature": value.replace("{}", mac(b"other"))})

    with pytest.raises(SignatureInvalid):
        declared().verify(delivery)


@pytest.mark.parametrize("injected", ["{body}", "{header:X-Signature}", "{timestamp}", "{{", "}", "{0}", "%s", "\\1"])
def test_template_injection_by_header_values_is_signed_as_it_stands(injected: str) -> None:
    receiver = declared({"verify": {"signed": "{header:X-Id}.{body}"}})
    headers = {"X-Id": injected, "X-Signature": mac(injected.encode() + b"." + BODY)}

    assert receiver.verify(delivery_of(BODY, headers)) is DefaultLabel.CURRENT
    expanded = injected.replace("{body}", "{}").replace("{{", "{")
    if expanded != injected:
        with pytest.raises(SignatureInvalid, match="wrong_signature"):
            receiver.verify(delivery_of(BODY, {**headers, "X-Signature": mac(expanded.encode() + b"." + BODY)}))


@pytest.mark.parametrize(
    "timestamp", ["9" * 16, "9" * 17, "9" * 100_000, "1e9", "-1", "+1", "٣", "0x10", "1.5", "", " "]
)
@pytest.mark.parametrize("unit", ["s", "ms", "iso"])
def test_huge_and_odd_timestamps_are_refused(timestamp: str, unit: str) -> None:
    receiver = declared({"verify": {"signed": "{timestamp}{body}", "timestamp": {"header": "X-Time", "unit": unit}}})
    headers = {"X-Time": timestamp, "X-Signature": mac(timestamp.strip().encode("latin-1", "replace") + BODY)}

    with pytest.raises(SignatureInvalid, match="timestamp"):
        receiver.verify(delivery_of(BODY, headers))


def test_of_a_list_of_ten_thousand_signatures_the_first_are_tried_in_no_time() -> None:
    receiver = declared(LISTED)
    good = f"v1={mac(f'{NOW}.'.encode() + BODY)}"
    wrong = ",".join(f"v1={number:064x}" for number in range(10_000))
    begun = thread_time()

    for _ in range(20):
        with pytest.raises(SignatureInvalid, match="wrong_signature"):
            receiver.verify(delivery_of(BODY, {"X-Signature": f"t={NOW},{wrong},{good}"}))

    assert (thread_time() - begun) / 20 < 0.01
    assert receiver.verify(delivery_of(BODY, {"X-Signature": f"t={NOW},{good},{wrong}"})) is DefaultLabel.CURRENT


def test_of_a_list_of_ten_thousand_public_key_signatures_few_are_tried() -> None:
    receiver = provider("standard-webhooks-v1a")
    sample = receiver.sample(MESSAGE)
    wrong = " ".join("v1a," + base64.b64encode(number.to_bytes(64)).decode() for number in range(10_000))
    begun = thread_time()

    with pytest.raises(SignatureInvalid, match="wrong_signature"):
        receiver.verify(delivery_of(sample.body, {**sample.headers, "webhook-signature": wrong}))

    assert thread_time() - begun < 0.1


junk = st.text(max_size=80) | st.sampled_from(
    [
        *(
            "é" * 64,
            "sha256=" + "f" * 64,
            "v0=" + "0" * 64,
            "v1," * 500,
            "v1,=",
            "=" * 28,
            "A" * 88,
            "0" * 128,
            "1" * 5000,
        ),
        *(
            "²" * 10,
            "\x00",
            "-1",
            "+1",
            str(NOW),
            f"t={NOW},v1=" + "0" * 64,
            "Bearer a.b.c",
            "Basic YTpi",
            "Bearer ..",
            "{body}",
        ),
    ]
)
HEADERS = sorted({name for preset in NAMES for name in ("Authorization", *provider(preset).sample(MESSAGE).headers)})
bodies = st.binary(max_size=80) | st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["event", "message", "from", "id", "type", "entry", "events", "signature"]), inner
        )
    ),
).map(lambda value: json.dumps(value).encode())


@given(
    name=st.sampled_from(NAMES),
    raw=bodies,
    headers=st.dictionaries(st.sampled_from(HEADERS), junk),
    target=st.text(max_size=30),
)
@settings(deadline=None, max_examples=100)
def test_any_delivery_to_any_preset_ends_as_documented(
    name: str, raw: bytes, headers: dict[str, str], target: str
) -> None:
    receiver = provider(name)
    delivery = replace(delivery_of(raw, {}), headers=headers, target=target)

    with pytest.raises(SignatureInvalid):
        receiver.verify(delivery)
    assert receiver.diagnose(delivery) is None
    with suppress(PayloadInvalid):
        receiver.parse(delivery)


@given(name=st.sampled_from(NAMES), data=st.data())
@settings(deadline=None, max_examples=100)
def test_any_change_of_an_example_is_read_or_named(name: str, data: st.DataObject) -> None:
    receiver = provider(name)
    delivery = delivery_of_sample(receiver.sample(MESSAGE))
    at = data.draw(st.integers(0, len(delivery.raw) - 1))
    raw = delivery.raw[:at] + data.draw(st.binary(max_size=4)) + delivery.raw[at + data.draw(st.integers(0, 9)) :]
    try:
        contents = receiver.parse(replace(delivery, raw=raw))
    except PayloadInvalid:
        return

    assert contents.messages or contents.unreadable or contents.answer


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "raw", [b"[" * 20_000, b'{"a":' * 20_000 + b"1" + b"}" * 20_000, b"&" * 100_000, b"", b"\xff", b"null"]
)
def test_a_hostile_body_is_an_invalid_payload_or_an_unreadable_item(name: str, raw: bytes) -> None:
    receiver = provider(name)
    try:
        contents = receiver.parse(delivery_of(raw, {}))
    except PayloadInvalid:
        return

    assert contents.unreadable
    assert not contents.messages


def test_a_body_that_has_to_be_read_before_it_is_verified_costs_no_more_than_its_length() -> None:
    receiver = provider("mailgun")
    assert PRESETS["mailgun"]["verify"]["body_unsigned"]
    raw = b'{"a":' * 60 + b'"' + b"x" * 1_000_000 + b'"' + b"}" * 60
    begun = thread_time()

    with pytest.raises(SignatureInvalid, match="missing_"):
        receiver.verify(delivery_of(raw, {}))

    assert thread_time() - begun < 1
