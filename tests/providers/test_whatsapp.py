"""The WhatsApp Cloud API, held against a corpus of its deliveries in ``data/whatsapp``."""

import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.provider_deliveries import delivery_of
from webhook_service.domain.deliveries import Contents
from webhook_service.domain.errors import PayloadInvalid, SignatureInvalid
from webhook_service.domain.formats import format_timestamp
from webhook_service.domain.messages import Message
from webhook_service.domain.receipts import Receipt
from webhook_service.domain.secrets import DefaultLabel, Secrets
from webhook_service.providers.whatsapp import WhatsApp

WHATSAPP = WhatsApp(Secrets("app-secret"), {"WHATSAPP_VERIFY_TOKEN": "verify-tökén"})
CORPUS_FILES = sorted((Path(__file__).parent / "data" / "whatsapp").glob("*.json"))
CORPUS = {path.stem: json.loads(path.read_text()) for path in CORPUS_FILES}
DELIVERIES = [case["delivery"] for case in CORPUS.values()]


def parse(payload: object) -> Contents:
    return WHATSAPP.parse(delivery_of(json.dumps(payload).encode(), {}))


def present(item: Message | Receipt, *names: str) -> dict[str, Any]:
    return {"ts": format_timestamp(item.ts), **{name: getattr(item, name) for name in names}}


@pytest.mark.parametrize("name", CORPUS)
def test_a_delivery_of_the_corpus_gives_its_items(name: str) -> None:
    contents = parse(CORPUS[name]["delivery"])

    assert {
        "messages": [
            present(message, "message_id", "sender", "recipient", "type", "text", "extra")
            for message in contents.messages
        ],
        "receipts": [
            present(receipt, "message_id", "status", "recipient", "error", "extra") for receipt in contents.receipts
        ],
        "unreadable": [{"reason": bad.reason.value, "where": bad.where} for bad in contents.unreadable],
    } == CORPUS[name]["expected"]


def nodes(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of everything in a JSON value but the value itself."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from nodes(child, (*path, key))


def put(payload: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """A copy of the payload with another value at a path."""
    copied = parent = copy.deepcopy(payload)
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return copied


def written(*path: str | int) -> str:
    """A path as it stands in ``where``."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


surprises = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from(["", "\x00", "x" * 300, "-1", "99999999999999", "253402300800", "²", "messages"]),
    st.sampled_from([[], {}, [[]], [{}]]),
    st.builds(lambda depth: json.loads("[" * depth + "]" * depth), st.integers(1, 300)),
)


@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_a_surprise_anywhere_never_fails_otherwise_than_as_an_invalid_payload(data: st.DataObject) -> None:
    payload = data.draw(st.sampled_from(DELIVERIES))
    for path in data.draw(st.lists(st.sampled_from(list(nodes(payload))), min_size=1, max_size=2)):
        try:
            payload = put(payload, path, data.draw(surprises))
        except (KeyError, IndexError, TypeError, AttributeError):
            continue  # the first surprise took this place away

    try:
        contents = parse(payload)
    except PayloadInvalid:
        return

    assert contents != Contents()
    for message in contents.messages:
        assert 1 <= len(message.message_id) <= 255
        assert 1 <= len(message.sender) <= 255
        assert 1 <= len(message.recipient) <= 255
        assert 1 <= len(message.type) <= 64
        assert "\x00" not in f"{message.message_id}{message.sender}{message.recipient}{message.type}{message.text}"
    for receipt in contents.receipts:
        assert 1 <= len(receipt.message_id) <= 255
        assert 1 <= len(receipt.recipient) <= 255
        assert 1 <= len(receipt.status) <= 64
        assert "\x00" not in f"{receipt.message_id}{receipt.recipient}{receipt.status}{receipt.error}"


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_a_field_that_nobody_knows_is_kept_wherever_it_stands(data: st.DataObject) -> None:
    payload = data.draw(st.sampled_from(DELIVERIES))
    objects = [(), *(path for path in nodes(payload) if isinstance(at(payload, path), dict))]
    path = data.draw(st.sampled_from(objects))

    contents = parse(put(payload, (*path, "brand_new"), "never seen before"))

    extras = [*(message.extra for message in contents.messages), *(receipt.extra for receipt in contents.receipts)]
    assert contents.unreadable or "never seen before" in json.dumps(extras)


def at(payload: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        payload = payload[key]
    return payload


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_bad_message_takes_no_other_along(data: st.DataObject) -> None:
    payload = CORPUS["batch"]["delivery"]
    whole = parse(payload)
    messages = [path for path in nodes(payload) if len(path) == 7 and path[5] == "messages"]
    path = data.draw(st.sampled_from(messages))
    field = data.draw(st.sampled_from(["id", "from", "timestamp", "type", "text"]))
    bad: object = data.draw(st.sampled_from([None, 1.5, [], {}, "", "\x00", "x" * 256]))

    contents = parse(put(payload, (*path, field), bad))

    lost = at(payload, path)["id"]
    others = [message for message in whole.messages if message.message_id != lost]
    if contents.unreadable:
        assert any(item.where.startswith(written(*path)) for item in contents.unreadable)
        assert list(contents.messages) == others
    else:
        assert len(contents.messages) == len(whole.messages)


def test_what_belongs_to_another_product_is_refused_whole() -> None:
    with pytest.raises(PayloadInvalid, match="unknown_object"):
        parse({"object": "page", "entry": []})


def test_a_field_that_has_the_name_of_what_is_kept_around_it_hides_nothing() -> None:
    payload = CORPUS["text"]["delivery"]

    contents = parse(put(payload, ("entry", 0, "changes", 0, "value", "messages", 0, "contact"), "mine"))

    assert contents.messages == ()
    assert [bad.where for bad in contents.unreadable] == ["entry[0].changes[0].value.messages[0].contact"]


def test_messages_to_an_unknown_number_are_reported_and_receipts_beside_them_kept() -> None:
    payload = CORPUS["messages_and_statuses"]["delivery"]

    contents = parse(put(payload, ("entry", 0, "changes", 0, "value", "metadata"), {}))

    assert contents.messages == ()
    assert len(contents.receipts) == 2
    assert [bad.where for bad in contents.unreadable] == [
        "entry[0].changes[0].value.metadata.display_phone_number",
    ]


@pytest.mark.parametrize(("text", "where"), [({}, "text.body"), (None, "text"), ({"body": 7}, "text.body")])
def test_a_text_message_without_a_text_is_unreadable(text: object, where: str) -> None:
    payload = CORPUS["text"]["delivery"]

    contents = parse(put(payload, ("entry", 0, "changes", 0, "value", "messages", 0, "text"), text))

    assert contents.messages == ()
    assert [bad.where for bad in contents.unreadable] == [f"entry[0].changes[0].value.messages[0].{where}"]


def test_the_only_contact_is_the_senders_though_its_id_differs_from_the_number() -> None:
    payload = CORPUS["text"]["delivery"]

    contents = parse(put(payload, ("entry", 0, "changes", 0, "value", "contacts", 0, "wa_id"), "15550100102"))

    (message,) = contents.messages
    assert message.extra is not None
    assert message.extra["contact"] == {"profile": {"name": "Garden Customer"}, "wa_id": "15550100102"}
    assert contents.unreadable == ()


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ([{"code": 131026, "title": "Undeliverable"}, {"code": 131047}], "131026: Undeliverable; 131047"),
        ([{"title": "Something went wrong"}], "Something went wrong"),
        ([{"href": "https://example.com"}], None),
        ([], None),
    ],
)
def test_the_errors_of_a_status_are_told_in_one_line(errors: list[object], said: str | None) -> None:
    payload = CORPUS["status_failed"]["delivery"]

    contents = parse(put(payload, ("entry", 0, "changes", 0, "value", "statuses", 0, "errors"), errors))

    assert [receipt.error for receipt in contents.receipts] == [said]


def test_a_long_body_is_kept_whole() -> None:
    payload = CORPUS["text"]["delivery"]
    body = "x" * 100_000

    contents = parse(put(payload, ("entry", 0, "changes", 0, "value", "messages", 0, "text", "body"), body))

    assert [message.text for message in contents.messages] == [body]


def test_a_thousand_items_are_read_in_less_than_the_time_it_takes_to_store_them() -> None:
    value = CORPUS["messages_and_statuses"]["delivery"]["entry"][0]["changes"][0]["value"]
    message, status = value["messages"][0], value["statuses"][0]
    full = {
        **value,
        "messages": [{**message, "id": f"wamid.{number}"} for number in range(500)],
        "statuses": [{**status, "id": f"wamid.{number}"} for number in range(500)],
    }
    payload = put(CORPUS["text"]["delivery"], ("entry", 0, "changes", 0, "value"), full)
    delivery = delivery_of(json.dumps(payload).encode(), {})

    elapsed = []
    for _ in range(3):  # of which one may meet the garbage of all tests before it
        started = time.process_time()
        contents = WHATSAPP.parse(delivery)
        elapsed.append(time.process_time() - started)
        assert (len(contents.messages), len(contents.receipts)) == (500, 500)

    assert min(elapsed) < 0.2  # 5,000 items a second end to end leave this much for a thousand


def test_a_signature_with_the_app_secret_passes() -> None:
    # printf '%s' '{"object":"whatsapp_business_account"}' | openssl dgst -sha256 -hmac app-secret
    signature = "sha256=0bf7374433906636bed1653bc7c64affb42fa5da9a39e251ab95c2e3a9c06923"

    label = WHATSAPP.verify(delivery_of(b'{"object":"whatsapp_business_account"}', {"x-hub-signature-256": signature}))

    assert label is DefaultLabel.CURRENT


@pytest.mark.parametrize(
    "header", ["sha256=", "sha256=" + "g" * 64, "f" * 64, "sha1=" + "f" * 40, "sha256=" + "é" * 64]
)
def test_a_signature_in_another_form_is_malformed(header: str) -> None:
    with pytest.raises(SignatureInvalid, match="malformed_signature"):
        WHATSAPP.verify(delivery_of(b"{}", {"X-Hub-Signature-256": header}))


def test_the_handshake_answers_with_the_challenge() -> None:
    parameters = {"hub.mode": "subscribe", "hub.verify_token": "verify-tökén", "hub.challenge": "1158201444"}

    answer = WHATSAPP.handshake(parameters)

    assert answer is not None
    assert answer.body == b"1158201444"


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"hub.mode": "subscribe", "hub.verify_token": "verify-tökén"},
        {"hub.mode": "subscribe", "hub.challenge": "1"},
        {"hub.mode": "subscribe", "hub.verify_token": "wrong", "hub.challenge": "1"},
        {"hub.mode": "subscribe", "hub.verify_token": "\udcff", "hub.challenge": "1"},
        {"hub.mode": "unsubscribe", "hub.verify_token": "verify-tökén", "hub.challenge": "1"},
        {"hub.verify_token": "verify-tökén", "hub.challenge": "1"},
    ],
)
def test_any_other_handshake_is_refused(parameters: dict[str, str]) -> None:
    assert WHATSAPP.handshake(parameters) is None
