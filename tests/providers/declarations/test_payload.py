"""What a declaration makes of a payload."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from time import thread_time
from typing import Any

import pytest

from tests.support.declared import declared
from tests.support.provider_deliveries import RECEIVED_AT, delivery_of
from webhook_service.domain.deliveries import Contents
from webhook_service.domain.errors import PayloadInvalid
from webhook_service.domain.messages import Message
from webhook_service.domain.results import Reason

ITEM: Mapping[str, Any] = {
    "id": "m-1",
    "from": "anna",
    "to": "shop",
    "at": "2026-03-01T11:59:58Z",
    "text": "Hi",
    "n": 1,
}


def read(content: Any, payload: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> Contents:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return declared({"payload": payload or {}}).parse(delivery_of(raw, headers or {}))


def only(contents: Contents) -> Message:
    (message,) = contents.messages
    assert contents.unreadable == ()
    return message


def test_bare_names_are_fields_of_the_body_and_extra_is_the_rest() -> None:
    message = only(read(ITEM))

    assert message == Message(
        message_id="m-1",
        provider="custom",
        sender="anna",
        recipient="shop",
        ts=datetime(2026, 3, 1, 11, 59, 58, tzinfo=UTC),
        received_at=RECEIVED_AT,
        text="Hi",
        type="text",
        extra={"n": 1},
    )


def test_each_item_is_a_message_and_sees_what_is_around_it() -> None:
    payload = {"items": "data.events", "to": "body.account.name", "from": "item.who.id", "type": 'headers."X-Kind"'}
    events = [{"id": f"m-{number}", "who": {"id": number}, "at": ITEM["at"]} for number in range(3)]
    body = {"account": {"name": "shop"}, "data": {"events": events}}

    contents = read(body, {**payload, "items": "body.data.events"}, {"X-Kind": "order"})

    assert [(each.message_id, each.sender, each.recipient, each.type) for each in contents.messages] == [
        (f"m-{number}", str(number), "shop", "order") for number in range(3)
    ]
    assert contents.messages[0].extra == {"who": {"id": 0}}


def test_a_bad_item_is_named_and_takes_no_other_along() -> None:
    events = [ITEM, {**ITEM, "id": None}, 7, {**ITEM, "from": {}}, {**ITEM, "at": "noon"}, {**ITEM, "text": "\x00"}]

    contents = read({"events": events}, {"items": "events"})

    assert [message.message_id for message in contents.messages] == ["m-1"]
    assert [(item.where, item.reason) for item in contents.unreadable] == [
        ("items[1].message_id", Reason.INVALID_FIELDS),
        ("items[2]", Reason.NOT_AN_OBJECT),
        ("items[3].from", Reason.INVALID_FIELDS),
        ("items[4].ts", Reason.INVALID_FIELDS),
        ("items[5].text", Reason.INVALID_FIELDS),
    ]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"id": ""}, "message_id"),
        ({"id": "m" * 256}, "message_id"),
        ({"id": True}, "message_id"),
        ({"from": "a\x00"}, "from"),
        ({"to": ["shop"]}, "to"),
        ({"at": 0}, "ts"),
        ({"at": "0000-13-01T00:00:00Z"}, "ts"),
        ({"text": {"body": "Hi"}}, "text"),
    ],
)
def test_a_field_that_is_no_text_is_named(changed: dict[str, Any], field: str) -> None:
    contents = read({**ITEM, **changed})

    assert [item.where for item in contents.unreadable] == [field]


@pytest.mark.parametrize("item", [{}, {"at": None}])
def test_the_time_of_the_arrival_stands_in_only_where_the_declaration_says_so(item: dict[str, Any]) -> None:
    content = {**ITEM, "at": None, **item}

    assert [each.where for each in read(content).unreadable] == ["ts"]
    assert only(read(content, {"ts_optional": True})).ts == RECEIVED_AT
    assert [each.where for each in read({**ITEM, "at": "noon"}, {"ts_optional": True}).unreadable] == ["ts"]


@pytest.mark.parametrize("body", [[], 1, "x", None, True])
def test_a_body_that_is_no_object_is_unreadable(body: Any) -> None:
    contents = read(body)

    assert [(item.where, item.reason) for item in contents.unreadable] == [("body", Reason.NOT_AN_OBJECT)]


@pytest.mark.parametrize("events", [None, {}, "x", 1])
def test_items_that_are_no_list_make_the_delivery_invalid(events: Any) -> None:
    with pytest.raises(PayloadInvalid, match="no_items"):
        read({"events": events}, {"items": "events"})


def test_an_empty_list_of_items_is_not_passed_over() -> None:
    with pytest.raises(PayloadInvalid, match="no_items"):
        read({"events": []}, {"items": "events"})


def test_more_items_than_are_looked_at_make_the_delivery_invalid() -> None:
    with pytest.raises(PayloadInvalid, match="too_many"):
        read({"events": [1] * 10_001}, {"items": "events"})


@pytest.mark.parametrize(
    ("form", "value", "moment"),
    [
        ("iso", "2026-03-01T13:00:00.5+01:00", "2026-03-01T12:00:00.500000"),
        ("s", 1772366400, "2026-03-01T12:00:00"),
        ("s", "1772366400", "2026-03-01T12:00:00"),
        ("s", 1772366400.25, "2026-03-01T12:00:00.250000"),
        ("s", "1772366400.000005", "2026-03-01T12:00:00.000005"),
        ("ms", 1772366400123, "2026-03-01T12:00:00.123000"),
        ("ms", "1772366400123", "2026-03-01T12:00:00.123000"),
    ],
)
def test_times_are_read_in_each_form(form: str, value: Any, moment: str) -> None:
    message = only(read({**ITEM, "at": value}, {"ts_format": form}))

    assert message.ts.replace(tzinfo=None) == datetime.fromisoformat(moment)


@pytest.mark.parametrize("form", ["s", "ms", "iso"])
@pytest.mark.parametrize("value", [-1, 10**15, 10**18, 1e300, "1e9", "", None, "٣", True, [1], "9" * 5000])
def test_times_that_are_none_are_named(form: str, value: Any) -> None:
    if (form, value) == ("ms", 10**15):
        return
    contents = read({**ITEM, "at": value}, {"ts_format": form})

    assert [item.where for item in contents.unreadable] == ["ts"]


def test_without_a_time_it_is_that_of_the_arrival() -> None:
    message = only(read(ITEM, {"ts": None}))

    assert message.ts == RECEIVED_AT


def test_an_id_may_come_from_a_header_or_from_the_bytes() -> None:
    rule = {"field": "uid", "header": "X-Id", "sha256": "body"}
    raw = json.dumps(ITEM).encode()

    assert only(read({**ITEM, "uid": 7}, {"message_id": rule}, {"X-Id": "h-1"})).message_id == "7"
    assert only(read(raw, {"message_id": rule}, {"X-Id": "h-1"})).message_id == "h-1"
    assert only(read(raw, {"message_id": rule})).message_id == hashlib.sha256(raw).hexdigest()


def test_items_that_share_such_an_id_are_told_apart() -> None:
    contents = read({"events": [ITEM, ITEM]}, {"items": "events", "message_id": {"header": "X-Id"}}, {"X-Id": "h-1"})

    assert [message.message_id for message in contents.messages] == ["h-1.0", "h-1.1"]


def test_the_headers_that_are_read_are_kept_for_a_replay() -> None:
    own = declared({"payload": {"message_id": {"header": "X-Id"}, "type": 'headers."X-Kind"'}})

    assert {"X-Id", "X-Kind", "Content-Type"} <= set(own.kept_headers)
    assert "X-Signature" not in own.kept_headers


def test_a_form_is_an_object() -> None:
    payload = {"format": "form", "text": "item.parts[1]", "to": "item.to || 'nobody'"}

    message = only(read(b"id=m-1&from=%2B49&at=2026-03-01T11:59:58Z&parts=a&parts=b&x=%C3%A9", payload))

    assert (message.message_id, message.sender, message.recipient, message.text) == ("m-1", "+49", "nobody", "b")
    assert message.extra == {"parts": ["a", "b"], "x": "é"}


def test_phone_numbers_have_one_form_where_that_is_wanted() -> None:
    content = {**ITEM, "from": "49 (151) 12345", "to": "Shop"}

    assert only(read(content, {"phone_numbers": True})).sender == "+4915112345"
    assert only(read(content, {"phone_numbers": True})).recipient == "Shop"
    assert only(read(content)).sender == "49 (151) 12345"


@pytest.mark.parametrize(
    "expression", ["max(item.n)", "sum(item)", "item.text[0:1:0]", "to_number(item.from).x", "abs(`null`)"]
)
def test_an_expression_that_fails_names_its_field(expression: str) -> None:
    contents = read(ITEM, {"from": expression})

    assert [item.where for item in contents.unreadable] == ["from"]


def test_what_is_around_the_items_is_looked_for_once_however_many_there_are() -> None:
    events = [{**ITEM, "id": str(number)} for number in range(5000)]
    body = {"events": events, "long": [{"n": number} for number in range(5000)]}
    begun = thread_time()

    contents = read(body, {"items": "events", "to": "to_string(sum(body.long[].n))"})

    assert len(contents.messages) == 5000
    assert thread_time() - begun < 2
