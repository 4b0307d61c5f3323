"""Handshakes and answers of declared providers."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.declared import SECRET, declared
from tests.support.preset_keys import TEXT_SECRET, TOKEN, provider
from tests.support.provider_deliveries import delivery_of
from webhook_service.domain.acknowledgement import Acknowledgement
from webhook_service.providers.declared import Declared

ECHO = {"when": "body.type == 'check'", "challenge": "body.challenge"}


def answer_to(own: Declared, content: Any) -> Acknowledgement | None:
    contents = own.parse(delivery_of(json.dumps(content).encode(), {}))
    assert contents.answer is None or not (contents.messages or contents.unreadable)
    return contents.answer


def test_a_field_is_echoed() -> None:
    own = declared({"handshake": ECHO})

    assert answer_to(own, {"type": "check", "challenge": "é{}"}) == Acknowledgement(
        "text/plain; charset=utf-8", "é{}".encode()
    )
    assert answer_to(own, {"type": "other", "challenge": "x"}) is None


@pytest.mark.parametrize("challenge", [None, 1, {}, ["x"], "x" * 4097])
def test_what_is_no_challenge_is_no_handshake(challenge: Any) -> None:
    assert answer_to(declared({"handshake": ECHO}), {"type": "check", "challenge": challenge}) is None


def test_the_hmac_of_a_challenge_is_put_wherever_the_answer_wants_it() -> None:
    answer = {"json": {"plain": "{challenge}", "signed": ["{hmac:challenge}"], "all": "sha256={hmac:challenge}"}}
    own = declared({"handshake": {"query": "c", "answer": answer}})

    answered = own.handshake({"c": "Zm9v_-1="})

    signature = hmac.digest(SECRET.encode(), b"Zm9v_-1=", "sha256").hex()
    assert answered is not None
    assert json.loads(answered.body) == {"plain": "Zm9v_-1=", "signed": [signature], "all": f"sha256={signature}"}


@pytest.mark.parametrize(
    "content", ['{"id": 1}', "id=m-1&from=a", "id=m-1", "1772366400.{}", "é", "", "a" * 300, "a\n"]
)
def test_nobody_gets_a_delivery_signed_by_having_it_checked(content: str) -> None:
    by_get = declared({"handshake": {"query": "c", "answer": {"text": "{hmac:challenge}"}}})
    by_post = declared({"handshake": {**ECHO, "answer": {"text": "{hmac:challenge}"}}})

    assert by_get.handshake({"c": content}) is None
    assert answer_to(by_post, {"type": "check", "challenge": content}) is None


@given(challenge=st.text(max_size=50))
@settings(deadline=None)
def test_a_challenge_is_never_read_as_a_template(challenge: str) -> None:
    in_text = declared({"handshake": {"query": "c", "answer": {"text": "<{challenge}>"}}})
    in_json = declared({"handshake": {"query": "c", "answer": {"json": {"plain": "{challenge}"}}}})

    text, value = in_text.handshake({"c": challenge}), in_json.handshake({"c": challenge})

    assert text is not None
    assert value is not None
    assert text.body == b"<" + challenge.encode("utf-8", "replace") + b">"
    assert json.loads(value.body) == {"plain": challenge}


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"hub.mode": "subscribe", "hub.challenge": "1"},
        {"hub.mode": "subscribe", "hub.challenge": "1", "hub.verify_token": ""},
        {"hub.mode": "subscribe", "hub.challenge": "1", "hub.verify_token": TOKEN + "x"},
        {"hub.mode": "subscribe", "hub.challenge": "1", "hub.verify_token": "\udcff"},
        {"hub.mode": "unsubscribe", "hub.challenge": "1", "hub.verify_token": TOKEN},
        {"hub.mode": "subscribe", "hub.challenge": "1" * 5000, "hub.verify_token": TOKEN},
        {"hub.mode": "subscribe", "hub.verify_token": TOKEN},
    ],
)
def test_meta_is_answered_only_with_the_token(parameters: dict[str, str]) -> None:
    own = provider("messenger")

    answer = own.handshake({"hub.mode": "subscribe", "hub.challenge": "1158", "hub.verify_token": TOKEN})

    assert answer == Acknowledgement("text/plain; charset=utf-8", b"1158")
    assert own.handshake(parameters) is None


def test_slack_gets_its_challenge() -> None:
    challenge = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"

    answer = answer_to(provider("slack"), {"token": "x", "challenge": challenge, "type": "url_verification"})

    assert answer is not None
    assert answer.body == challenge.encode()


def test_zoom_gets_its_token_and_the_hmac_of_it() -> None:
    content = {"payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"}, "event_ts": 1, "event": "endpoint.url_validation"}

    answer = answer_to(provider("zoom"), content)

    assert answer is not None
    assert json.loads(answer.body) == {
        "plainToken": "qgg8vlvZRS6UYooatFL8Aw",
        "encryptedToken": hmac.new(TEXT_SECRET.encode(), b"qgg8vlvZRS6UYooatFL8Aw", hashlib.sha256).hexdigest(),
    }


@pytest.mark.parametrize(
    ("name", "content", "status", "body"),
    [
        ("discord", {"type": 1, "id": "1", "version": 1}, 200, b'{"type":1}'),
        ("discord-events", {"version": 1, "application_id": "1", "type": 0}, 204, b""),
        ("viber", {"event": "webhook", "timestamp": 1, "message_token": 1}, 200, b'{"status":0,"status_message":"ok"}'),
        ("line", {"destination": "U8e742f61d673b39c7fff3cecb7536ef0", "events": []}, 200, b"{}"),
    ],
)
def test_each_provider_gets_the_answer_that_it_checks_for(name: str, content: Any, status: int, body: bytes) -> None:
    answer = answer_to(provider(name), content)

    assert answer is not None
    assert (answer.status, answer.body) == (status, body)


def test_the_answer_to_deliveries_is_the_providers() -> None:
    assert declared().acknowledgement == Acknowledgement("application/json", b'{"status":"ok"}')
    assert declared({"answer": {"text": "OK"}}).acknowledgement == Acknowledgement("text/plain; charset=utf-8", b"OK")
    assert provider("discord").acknowledgement.body == b'{"type":5}'
    assert provider("discord-events").acknowledgement.status == 204


def test_only_a_check_by_get_makes_the_address_answer_a_get() -> None:
    assert provider("messenger").has_handshake()
    assert not provider("slack").has_handshake()
