"""The quarantine's pages: replaying all of a reason, and the fields at fault in a body."""

import re
from collections.abc import Iterator
from html import unescape

import pytest
from flask.testing import FlaskClient

from tests.support.app import application, deliver
from tests.support.deliveries import payload
from webhook_service.dashboard import quarantine
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
