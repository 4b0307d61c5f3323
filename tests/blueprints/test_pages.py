"""Pages by cursor: every message once, whatever the order, the filter, and what is stored meanwhile."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from tests.support.messages import MOMENT, message
from webhook_service.domain.messages import Message, Position
from webhook_service.schemas.cursors import CursorInvalid, PositionCursors
from webhook_service.storage.database import Database
from webhook_service.storage.queries.messages import encode_message, insert_messages

SECOND = timedelta(seconds=1)


def store(database: Database, *messages: Message) -> None:
    with database.transaction() as transaction:
        insert_messages(transaction, [encode_message(each) for each in messages])


def store_many(database: Database) -> list[Message]:
    """Sixty messages, four at a time at the same moment, in an order that has nothing to do with time."""
    ids = ["z", "A", "é/%+&=", "😀"]
    messages = [
        message(
            f"{ids[at % 4]}{at}",
            ts=MOMENT + SECOND * (at // 4),
            sender=f"+{at % 3}",
            recipient=f"+{at % 2}",
            provider=("native", "twilio")[at % 5 == 0],
            text=("Hello", "Bye", None)[at % 7 % 3],
        )
        for at in range(60)
    ]
    store(database, *sorted(messages, key=lambda each: each.message_id[::-1]))
    return sorted(messages, key=lambda each: (each.ts, each.message_id.encode()))


def ask(client: FlaskClient, **parameters: Any) -> TestResponse:
    return client.get(f"/messages?{urlencode(parameters)}")


def pages(client: FlaskClient, **parameters: Any) -> Iterator[list[str]]:
    """The IDs of each page, from the first to the last."""
    cursor: str | None = "*"
    while cursor is not None:
        page = ask(client, **parameters, cursor=cursor).get_json()
        yield [each["message_id"] for each in page["data"]]
        cursor = page["next_cursor"]


def all_ids(client: FlaskClient, **parameters: Any) -> list[str]:
    return [message_id for page in pages(client, **parameters) for message_id in page]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 7, 20, 60, 100])
def test_the_pages_together_are_the_whole_list(limit: int, order: str, client: FlaskClient, database: Database) -> None:
    stored = [each.message_id for each in store_many(database)]

    found = list(pages(client, limit=limit, order=order))

    assert [message_id for page in found for message_id in page] == (stored if order == "asc" else stored[::-1])
    assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)
    assert found[-1]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize(
    "wanted",
    [
        {"from": "+1"},
        {"to": "+1"},
        {"provider": "twilio"},
        {"q": "HELL"},
        {"since": "2025-01-15T10:00:04Z"},
        {"until": "2025-01-15T10:00:09Z"},
        {"since": "2025-01-15T10:00:04Z", "until": "2025-01-15T10:00:09Z", "from": "+2", "to": "+0", "q": "e"},
    ],
    ids=str,
)
def test_a_filter_holds_on_every_page(
    wanted: dict[str, str], order: str, client: FlaskClient, database: Database
) -> None:
    store_many(database)
    whole = ask(client, limit=100, order=order, **wanted).get_json()

    assert all_ids(client, limit=3, order=order, **wanted) == [each["message_id"] for each in whole["data"]]
    assert whole["total"] == len(whole["data"]) > 0
    assert whole["next_cursor"] is None


def test_what_is_stored_between_two_pages_neither_repeats_nor_hides_a_message(
    client: FlaskClient, database: Database
) -> None:
    stored = [each.message_id for each in store_many(database)]

    seen = []
    for number, page in enumerate(pages(client, limit=10)):
        seen += page
        store(database, message(f"new{number}", ts=MOMENT - SECOND), message(f"late{number}", ts=MOMENT + SECOND * 9))

    assert [message_id for message_id in seen if message_id in stored] == stored
    assert len(set(seen)) == len(seen)


def test_a_cursor_stays_good_when_its_message_is_deleted(client: FlaskClient, database: Database) -> None:
    stored = [each.message_id for each in store_many(database)]
    cursor = ask(client, limit=10, cursor="*").get_json()["next_cursor"]

    with database.transaction() as transaction:
        transaction.execute(text("DELETE FROM messages WHERE message_id = :id"), {"id": stored[9]})

    page = ask(client, limit=10, cursor=cursor).get_json()
    assert [each["message_id"] for each in page["data"]] == stored[10:20]


def test_a_page_by_cursor_has_no_total_and_one_by_offset_has_both(client: FlaskClient, database: Database) -> None:
    stored = [each.message_id for each in store_many(database)]

    by_offset = ask(client, limit=10, offset=20).get_json()
    by_cursor = ask(client, limit=10, cursor=by_offset["next_cursor"]).get_json()
    first = ask(client, limit=10, cursor="*").get_json()

    assert (by_offset["total"], by_cursor["total"], first["total"]) == (60, None, None)
    assert [each["message_id"] for each in by_cursor["data"]] == stored[30:40]
    assert [each["message_id"] for each in first["data"]] == stored[:10]


def test_a_link_leads_to_the_next_page(client: FlaskClient, database: Database) -> None:
    store(database, *(message(f"m{at:02}", text="Café <>!", ts=MOMENT + SECOND * at) for at in range(60)))
    path = f"/messages?offset=5&limit=30&to=&q={quote('é <>')}&provider=&order=asc&&cursor="

    seen = []
    while path:
        answer = client.get(path)
        seen += [each["message_id"] for each in answer.get_json()["data"]]
        link = re.fullmatch(r'<([^<> ]+)>; rel="next"', answer.headers.get("Link", ""))
        path = link[1] if link else ""

    assert seen == [f"m{at:02}" for at in range(5, 60)]


def test_the_last_page_has_no_link(client: FlaskClient, database: Database) -> None:
    store(database, message())

    assert "Link" not in ask(client).headers


@pytest.mark.parametrize(
    "change",
    [
        {"order": "desc"},
        {"from": "+2"},
        {"from": ""},
        {"to": "+1"},
        {"provider": "native"},
        {"since": "2025-01-15T10:00:00Z"},
        {"q": "h"},
        {"cursor": "**"},
        {"cursor": "x"},
        {"cursor": "WyIyMDI1LTAxLTE1VDEwOjAwOjAwWiIsImEiXQ"},
        {"cursor": "\u00e9"},
        {"offset": "1"},
    ],
    ids=str,
)
def test_a_cursor_of_another_list_is_refused(change: dict[str, str], client: FlaskClient, database: Database) -> None:
    store_many(database)
    asked = {"from": "+1", "limit": 5}
    cursor = ask(client, **asked).get_json()["next_cursor"]

    answer = ask(client, **{**asked, "cursor": cursor, **change})

    assert answer.status_code == 422
    assert list(answer.get_json()["errors"]) == ["offset" if "offset" in change else "cursor"]


def test_the_size_of_a_page_may_change_on_the_way(client: FlaskClient, database: Database) -> None:
    stored = [each.message_id for each in store_many(database)]
    cursor = ask(client, limit=5).get_json()["next_cursor"]

    page = ask(client, limit=7, cursor=cursor).get_json()

    assert [each["message_id"] for each in page["data"]] == stored[5:12]


def test_a_cursor_with_any_character_changed_is_refused() -> None:
    cursors = PositionCursors("messages", "asc", None)
    cursor = cursors.write(Position(MOMENT, "é"))

    assert cursors.read(cursor) == Position(MOMENT, "é")
    assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)
    for at in range(len(cursor)):
        for forged in (cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :], cursor[:at]):
            with pytest.raises(CursorInvalid):
                cursors.read(forged)
    for spelled in (cursor + "=", cursor + "\n", " " + cursor, cursor + "!", cursor + "AAAA"):
        with pytest.raises(CursorInvalid):
            cursors.read(spelled)
