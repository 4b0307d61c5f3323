"""Events of providers that send more than messages, each as the provider documents it."""

import json
from typing import Any

import pytest

from tests.support.preset_keys import provider
from tests.support.provider_deliveries import RECEIVED_AT, delivery_of
from webhook_service.domain.messages import Message

SENT = 1772366398
USER: dict[str, Any] = {"id": 5, "is_bot": False, "first_name": "Anna"}
CHAT: dict[str, Any] = {"id": 7, "type": "private"}
TELEGRAM: dict[str, dict[str, Any]] = {
    "message": {"message_id": 1, "date": SENT, "chat": CHAT, "from": USER},
    "edited_message": {"message_id": 1, "date": 1, "edit_date": SENT, "chat": CHAT, "from": USER, "text": "Hi"},
    "channel_post": {"message_id": 1, "date": SENT, "chat": CHAT, "sender_chat": {"id": 5}, "caption": "Hi"},
    "business_message": {"message_id": 1, "date": SENT, "chat": CHAT, "from": USER, "text": "Hi"},
    "business_connection": {"id": "b", "user": USER, "user_chat_id": 7, "date": SENT, "is_enabled": True},
    "message_reaction": {"chat": CHAT, "message_id": 1, "user": USER, "date": SENT, "new_reaction": []},
    "my_chat_member": {"chat": CHAT, "from": USER, "date": SENT},
    "inline_query": {"id": "1", "from": USER, "query": "Hi", "offset": ""},
    "chosen_inline_result": {"result_id": "1", "from": USER, "query": "Hi"},
    "callback_query": {"id": "1", "from": USER, "inline_message_id": "x", "chat_instance": "1", "data": "Hi"},
    "pre_checkout_query": {"id": "1", "from": USER, "currency": "EUR", "total_amount": 1, "invoice_payload": "p"},
    "poll_answer": {"poll_id": "1", "user": USER, "option_ids": [0]},
    "poll": {"id": "1", "question": "Which?", "options": []},
}
PAGE, PERSON = {"id": "102290129340398"}, {"id": "8051234567890123"}
MESSAGING = {"sender": PERSON, "recipient": PAGE, "timestamp": SENT * 1000}
ABOUT_A_MESSAGE: list[dict[str, Any]] = [
    {"reaction": {"reaction": "love", "emoji": "\u2764", "action": "react", "mid": "m_1"}},
    {"reaction": {"action": "unreact", "mid": "m_1"}},
    {"message": {"mid": "m_1", "is_deleted": True}},
    {"read": {"mid": "m_1"}},
]
every_preset_of_meta = pytest.mark.parametrize("name", ["messenger", "instagram"])


def read(name: str, content: Any) -> Message:
    contents = provider(name).parse(delivery_of(json.dumps(content).encode(), {}))
    assert contents.unreadable == ()
    (message,) = contents.messages
    return message


def of_meta(**entry: Any) -> dict[str, Any]:
    return {"object": "page", "entry": [{**PAGE, "time": SENT, **entry}]}


@pytest.mark.parametrize("kind", TELEGRAM)
def test_every_update_of_telegram_is_a_message(kind: str) -> None:
    update = TELEGRAM[kind]

    message = read("telegram", {"update_id": 10000, kind: update})

    has_person, has_time = kind != "poll", not {"date", "edit_date"}.isdisjoint(update)
    assert (message.message_id, message.type) == ("10000", "text" if message.text and kind == "message" else kind)
    assert message.sender == ("5" if has_person else "telegram")
    assert message.recipient == ("7" if "chat" in update else "telegram")
    assert message.text == ("Hi" if "Hi" in update.values() else None)
    assert (message.ts.timestamp() == SENT) if has_time else (message.ts == RECEIVED_AT)


@every_preset_of_meta
def test_what_is_about_a_message_does_not_take_its_id(name: str) -> None:
    first = read(name, of_meta(messaging=[{**MESSAGING, "message": {"mid": "m_1", "text": "Hello"}}]))

    others = [read(name, of_meta(messaging=[{**MESSAGING, **event}])) for event in ABOUT_A_MESSAGE]

    assert first.message_id == "m_1"
    assert len({first.message_id, *(other.message_id for other in others)}) == 1 + len(others)
    assert [other.type for other in others] == ["reaction", "reaction", "deleted", "event"]
    assert {(other.sender, other.recipient, other.text) for other in others} == {(PERSON["id"], PAGE["id"], None)}


@pytest.mark.parametrize(
    ("name", "field", "value", "text"),
    [
        ("instagram", "comments", {"from": PERSON, "id": "17865799348089039", "text": "Nice"}, "Nice"),
        ("messenger", "feed", {"from": PERSON, "item": "comment", "message": "Nice", "created_time": SENT}, "Nice"),
        ("messenger", "feed", {"from": PERSON, "item": "reaction", "created_time": SENT}, None),
        (
            "messenger",
            "messages",
            {"sender": PERSON, "recipient": PAGE, "timestamp": str(SENT), "message": {"mid": "m", "text": "Nice"}},
            "Nice",
        ),
    ],
)
def test_a_change_of_metas_is_a_message_from_whoever_made_it(
    name: str, field: str, value: dict[str, Any], text: str | None
) -> None:
    message = read(name, of_meta(changes=[{"field": field, "value": value}]))

    assert (message.sender, message.recipient) == (PERSON["id"], PAGE["id"])
    assert (message.type, message.text, message.ts) == (field, text, RECEIVED_AT)


def test_a_comment_that_stands_in_the_entry_itself_is_a_message() -> None:
    comment = of_meta(field="comments", value={"id": "17865799348089039", "from": PERSON, "text": "Nice"})

    message = read("instagram", comment)

    assert (message.sender, message.recipient, message.text) == (PERSON["id"], PAGE["id"], "Nice")


@every_preset_of_meta
def test_a_change_that_nobody_made_is_a_message_from_the_provider(name: str) -> None:
    change = {"field": "story_insights", "value": {"media_id": "18023345989012587", "exits": 1}}
    body = of_meta(changes=[change])

    alone = read(name, body)
    several = provider(name).parse(delivery_of(json.dumps({**body, "entry": body["entry"] * 2}).encode(), {}))

    assert (alone.sender, alone.recipient) == (name, PAGE["id"])
    # Which of the entries it is of is not to be seen then.
    assert [message.recipient for message in several.messages] == [name, name]
