"""The quarantine's pages: replaying all of a reason, and the fields at fault in a body."""

import re
from collections.abc import Iterator
from html import unescape
from time import process_time

import pytest
from flask.testing import FlaskClient

from tests.support.app import application, deliver
from tests.support.deliveries import payload, to_bytes
from tests.support.whatsapp import a_message, a_value, of_values
from webhook_service.dashboard import quarantine
from webhook_service.dashboard.fault_spans import split_at_faults
from webhook_service.domain.deliveries import Contents, Delivery
from webhook_service.domain.errors import PayloadInvalid
from webhook_service.domain.results import Reason
from webhook_service.providers.native import Native

OWN = {"Sec-Fetch-Site": "same-origin"}
NUMBER = 62


@pytest.fixture
def client(database_url: str) -> Iterator[FlaskClient]:
    with application(database_url) as made:
        yield made


@pytest.fixture
def understands_all_but_one(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has 63 deliveries in quarantine: 62, of which the service has learned to read all but the third, and no JSON."""
    parse = Native.parse

    def refuse(_self: Native, _delivery: Delivery) -> Contents:
        raise PayloadInvalid(Reason.INVALID_FIELDS, {"ts": ["Not yet."]})

    deliver(client, b"not JSON")
    monkeypatch.setattr(Native, "parse", refuse)
    for number in range(NUMBER):
        deliver(client, payload(message_id=f"m-{number}"))

    def read(self: Native, delivery: Delivery) -> Contents:
        return refuse(self, delivery) if b'm-2"' in delivery.raw else parse(self, delivery)

    monkeypatch.setattr(Native, "parse", read)


def replay(client: FlaskClient, page: str) -> str:
    """Presses the button that replays, and returns the page that follows."""
    (action,) = re.findall(r'action="([^"]+/quarantine/replay[^"]*)"', page)
    return client.post(unescape(action), headers=OWN).text


@pytest.mark.usefixtures("understands_all_but_one")
def test_all_of_a_reason_are_replayed_however_many_a_page_lists(client: FlaskClient) -> None:
    page = client.get("/dashboard/quarantine?reason=invalid_fields&limit=5").text
    assert "Replay all (62)" in page

    page = replay(client, page)

    assert "61 left the quarantine (61 created, 0 duplicate, 0 conflict), 1 still in quarantine." in page
    assert re.findall(r'class="entry-link">(#\d+)', page) == ["#4"]
    assert "Replay all (1)" in page


@pytest.mark.usefixtures("understands_all_but_one")
def test_a_replay_that_takes_long_says_how_many_are_left_and_goes_on(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "LONGEST_REPLAY", 0)
    page = client.get("/dashboard/quarantine").text
    told = []
    for _ in range(7):
        page = replay(client, page)
        told += re.findall(
            r'role="status">(\d+) left[^.]+, (\d) still in quarantine\.(?: Not tried yet: (\d+)\.)?', page
        )

    assert told == [
        ("8", "2", "53"),
        *(("10", "0", left) for left in ("43", "33", "23", "13", "3")),
        ("3", "0", ""),
    ]
    assert client.get("/messages").get_json()["total"] == NUMBER - 1


@pytest.mark.usefixtures("understands_all_but_one")
def test_no_more_are_counted_than_can_be_counted_fast(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MOST_COUNTED", 50)

    assert "Replay all (more than 50)" in client.get("/dashboard/quarantine").text


WHATSAPP = to_bytes(of_values(a_value(messages=[a_message("one"), a_message("two")]))).decode()
ITEM = "entry[0].changes[0].value.messages[1]"


def marked(text: str, *paths: str) -> list[tuple[str, str]]:
    """What is marked in a body, each with what follows it."""
    pieces = split_at_faults(text, paths)
    assert "".join(pieces) == text
    return [(pieces[at], pieces[at + 1][:8]) for at in range(1, len(pieces), 2)]


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ('{"from": 1, "note": {"from": 2}}', "from", [('"from"', ': 1, "no')]),
        ('{"from": 1, "note": {"from": 2}}', "note.from", [('"from"', ": 2}}")]),
        ('{"a": [{"ts": 1}, {"ts": 2}]}', "a[1].ts", [('"ts"', ": 2}]}")]),
        ('{"a": [[0, 1], [2, 3, []]], "b": {}, "c": 4}', "a[1][1]", [("3", ", []]], ")]),
        ('{"a": [[0, 1], [2, 3, []]], "b": {}, "c": 4}', "c", [('"c"', ": 4}")]),
        ('{"a": [{"b": 1}, {"c": 2}]}', "a[1]", [("{", '"c": 2}]')]),
        ('[{"a": 1}, {"a": 2}]', "[1].a", [('"a"', ": 2}]")]),
        ('{"b": "\\"a\\": {", "\\u0061": 1}', "a", [('"\\u0061"', ": 1}")]),
        ('{"a.b": 1}', "a.b", [('"a.b"', ": 1}")]),
        ('{"b": "a"}', "a", []),
        ('{"a": 1, "b": {"a', "b.a", []),
        ('{"a": 1}', "body", []),
        ("Body=From&From=&NumMedia=0", "From", [("From", "=&NumMed")]),
        ("B%6Fdy=x&To=1&To", "Body", [("B%6Fdy", "=x&To=1&")]),
        ("B%6Fdy=x&To=1&To", "To", [("To", "=1&"), ("To", "")]),
        ("not JSON", "body", []),
    ],
)
def test_what_is_at_fault_is_marked_and_nothing_else(text: str, path: str, expected: list[tuple[str, str]]) -> None:
    assert marked(text, path) == expected


def test_the_item_at_fault_is_marked_and_not_the_other_one() -> None:
    pieces = split_at_faults(WHATSAPP, [f"{ITEM}.timestamp"])

    assert pieces[1] == '"timestamp"'
    assert (pieces[0].count('"timestamp"'), len(pieces)) == (1, 3)


@pytest.mark.parametrize(
    "text", ["[" * 32_000, '{"a":' * 12_000, '{"' + "a" * 60_000, "a&" * 32_000, '{"x":' + "[1," * 20_000]
)
def test_a_hostile_body_is_searched_in_no_time(text: str) -> None:
    paths = ["a" + ".a" * number for number in range(50)] + ["x" + "[0]" * 50]
    began = process_time()

    split_at_faults(text, paths)

    assert process_time() - began < 1
