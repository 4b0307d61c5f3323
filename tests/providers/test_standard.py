"""Standard Webhooks, held against the specification's vector and its reference library."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.provider_deliveries import MESSAGE, RECEIVED_AT, delivery_of, delivery_of_sample
from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.errors import PayloadInvalid, SignatureInvalid
from webhook_service.domain.secrets import DefaultLabel, Secrets
from webhook_service.providers.standard import Standard

SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTOR = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
VECTOR_BODY = b'{"test": 2432232314}'
SIGNED_AT = datetime.fromtimestamp(1614265330, UTC)


def vector(changed: Mapping[str, str] | None = None, received_at: datetime = SIGNED_AT) -> Delivery:
    return delivery_of(VECTOR_BODY, {**VECTOR, **(changed or {})}, received_at=received_at)


@pytest.mark.parametrize("secret", [SECRET, f"whsec_{SECRET}"])
def test_the_published_vector_passes(secret: str) -> None:
    standard = Standard(Secrets(secret), {})

    label = standard.verify(vector())

    assert label is DefaultLabel.CURRENT


@given(
    key=st.binary(min_size=1, max_size=64),
    webhook_id=st.text(st.characters(codec="ascii", exclude_categories=["C", "Z"]), min_size=1, max_size=60),
    body=st.text(max_size=200),
)
@settings(max_examples=300, deadline=None)
def test_what_the_reference_library_signs_passes(key: bytes, webhook_id: str, body: str) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    signature = Webhook(secret).sign(webhook_id, RECEIVED_AT, body)
    headers = {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(RECEIVED_AT.timestamp())),
        "webhook-signature": signature,
    }

    label = Standard(Secrets(secret), {}).verify(delivery_of(body.encode(), headers))

    assert label is DefaultLabel.CURRENT


@given(text=st.text(max_size=100), key=st.binary(min_size=1, max_size=64), unpadded=st.booleans())
@settings(max_examples=300, deadline=None)
def test_the_reference_library_accepts_what_is_signed_here(text: str, key: bytes, unpadded: bool) -> None:
    encoded = base64.b64encode(key).decode()
    secret = "whsec_" + (encoded.rstrip("=") if unpadded else encoded)
    now = datetime.now(UTC)

    sample = Standard(Secrets(secret), {}).sample(replace(MESSAGE, text=text, received_at=now))

    assert Webhook(secret).verify(sample.body, dict(sample.headers)) == json.loads(sample.body)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_anywhere_is_refused_here_and_by_the_reference_library(data: st.DataObject) -> None:
    standard = Standard(Secrets(SECRET), {})
    sample = standard.sample(replace(MESSAGE, received_at=datetime.now(UTC)))
    position = data.draw(st.integers(0, len(sample.body) - 1))
    other = data.draw(st.integers(0, 127).filter(lambda byte: byte != sample.body[position]))
    mutated = sample.body[:position] + bytes([other]) + sample.body[position + 1 :]

    with pytest.raises(SignatureInvalid, match="wrong_signature"):
        standard.verify(delivery_of(mutated, sample.headers, received_at=datetime.now(UTC)))
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(mutated, dict(sample.headers))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"webhook-id": "msg_other"}, "wrong_signature"),
        ({"webhook-timestamp": "1614265331"}, "wrong_signature"),
        ({"webhook-signature": "v1,g1hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, "wrong_signature"),
        ({"webhook-signature": "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, "malformed_signature"),
        ({"webhook-signature": "v1,g0hM9SsE"}, "malformed_signature"),
        ({"webhook-signature": "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, "malformed_signature"),
        ({"webhook-signature": ""}, "missing_signature"),
        ({"webhook-id": ""}, "missing_webhook_id"),
        ({"webhook-timestamp": ""}, "missing_timestamp"),
        ({"webhook-timestamp": "1614265330.0"}, "malformed_timestamp"),
        ({"webhook-timestamp": "٠١٢"}, "malformed_timestamp"),
        ({"webhook-timestamp": "9" * 400}, "malformed_timestamp"),
    ],
)
def test_each_fault_in_the_headers_has_its_code(changed: dict[str, str], reason: str) -> None:
    standard = Standard(Secrets(SECRET), {})

    with pytest.raises(SignatureInvalid, match=reason):
        standard.verify(vector(changed))


@pytest.mark.parametrize("before", ["v1a,AAAA", "nonsense", "v1,", "v1,%%%%", ",", "v1," + "A" * 43 + "=", " "])
def test_one_match_among_many_signatures_is_enough(before: str) -> None:
    standard = Standard(Secrets(SECRET), {})

    label = standard.verify(vector({"webhook-signature": f"{before} {VECTOR['webhook-signature']} v2,later"}))

    assert label is DefaultLabel.CURRENT


def test_only_the_first_signatures_are_examined() -> None:
    standard = Standard(Secrets(SECRET), {})
    padding = "v1,AAAA "

    within = standard.verify(vector({"webhook-signature": padding * 15 + VECTOR["webhook-signature"]}))

    assert within is DefaultLabel.CURRENT
    with pytest.raises(SignatureInvalid, match="malformed_signature"):
        standard.verify(vector({"webhook-signature": padding * 16 + VECTOR["webhook-signature"]}))


@pytest.mark.parametrize("seconds", [-300, 300])
def test_five_minutes_either_way_are_tolerated(seconds: int) -> None:
    standard = Standard(Secrets(SECRET), {})

    label = standard.verify(vector(received_at=SIGNED_AT + timedelta(seconds=seconds)))

    assert label is DefaultLabel.CURRENT


@pytest.mark.parametrize("seconds", [-301, 301, 86_400 * 365])
def test_an_authentic_delivery_from_another_time_is_stale(seconds: int) -> None:
    standard = Standard(Secrets(SECRET), {})

    with pytest.raises(SignatureInvalid, match="stale_timestamp"):
        standard.verify(vector(received_at=SIGNED_AT + timedelta(seconds=seconds)))


def test_a_forged_delivery_from_another_time_is_not_called_stale() -> None:
    standard = Standard(Secrets("c29tZS1vdGhlcg=="), {})

    with pytest.raises(SignatureInvalid, match="wrong_signature"):
        standard.verify(vector(received_at=RECEIVED_AT))


def test_the_id_of_the_message_is_the_payloads_and_not_the_deliverys() -> None:
    standard = Standard(Secrets(SECRET), {})
    delivery = delivery_of_sample(standard.sample(MESSAGE))

    contents = standard.parse(delivery)

    assert [message.message_id for message in contents.messages] == ["m-1"]


EVENT = {"type": "contact.created", "timestamp": "2026-03-01T11:59:58.104522Z", "data": {"id": "c-1"}}


def test_the_payload_that_the_specification_recommends_is_a_message_under_the_deliverys_id() -> None:
    delivery = delivery_of(json.dumps(EVENT).encode(), {"webhook-id": "msg_1"})

    (message,) = Standard(Secrets(SECRET), {}).parse(delivery).messages

    assert (message.message_id, message.type, message.text) == ("msg_1", "contact.created", None)
    assert (message.sender, message.recipient) == ("standard", "standard")
    assert message.ts == datetime(2026, 3, 1, 11, 59, 58, 104522, tzinfo=UTC)
    assert message.extra == {"data": {"id": "c-1"}}
    assert "webhook-id" in Standard.kept_headers


@pytest.mark.parametrize(
    ("changed", "headers", "field"),
    [
        ({"timestamp": "yesterday"}, {"webhook-id": "msg_1"}, "timestamp"),
        ({"timestamp": 1772366398}, {"webhook-id": "msg_1"}, "timestamp"),
        ({"type": {}}, {"webhook-id": "msg_1"}, "type"),
        ({"type": "a" * 65}, {"webhook-id": "msg_1"}, "type"),
        ({}, {}, "webhook-id"),
        ({}, {"webhook-id": "m" * 256}, "webhook-id"),
    ],
)
def test_a_bad_field_of_such_a_payload_is_named(changed: dict[str, Any], headers: dict[str, str], field: str) -> None:
    with pytest.raises(PayloadInvalid) as invalid:
        Standard(Secrets(SECRET), {}).parse(delivery_of(json.dumps({**EVENT, **changed}).encode(), headers))

    assert list(invalid.value.problems) == [field]


def test_a_payload_that_is_neither_is_invalid() -> None:
    standard = Standard(Secrets(SECRET), {})

    with pytest.raises(PayloadInvalid, match="invalid_fields"):
        standard.parse(vector())


def test_secrets_that_are_not_base64_are_reported_without_being_shown() -> None:
    problems = Standard.problems(Secrets("whsec_not base64!", "whsec_"), {})

    assert problems == [
        ("current", "not base64, with or without whsec_ before it"),
        ("previous", "not base64, with or without whsec_ before it"),
    ]


def test_a_usable_secret_is_no_problem() -> None:
    assert Standard.problems(Secrets(f"whsec_{SECRET}", SECRET), {}) == []
