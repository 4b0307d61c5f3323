"""Deliveries in quarantine are tried again, or dropped."""

import pytest
from flask.testing import FlaskClient

from tests.blueprints.quarantining import Changing, quarantined, replay, stored_ids, with_quarantine
from tests.support.app import application, deliver
from tests.support.deliveries import payload

client = pytest.fixture(with_quarantine)


def test_a_replay_before_the_fix_says_what_is_wrong_and_keeps_it(client: FlaskClient) -> None:
    deliver(client, payload(ts="yesterday"))
    (entry,) = quarantined(client)

    response = replay(client, entry["id"])

    assert response.status_code == 422
    assert response.get_json()["errors"] == entry["problems"]
    assert len(quarantined(client)) == 1


@pytest.mark.parametrize("error", [RuntimeError, KeyError, RecursionError])
def test_a_parser_that_fails_loses_nothing_and_after_the_fix_a_replay_empties_the_quarantine(
    client: FlaskClient, error: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    Changing.fails_with = error
    refused = deliver(client, payload(message_id="m-1"), path="/webhook/changing")
    (entry,) = quarantined(client)
    Changing.understands = True

    response = replay(client, entry["id"])

    assert refused.status_code == 422
    assert entry["reason"] == "parser_failed"
    assert response.get_json() == {"status": "ok", "created": 1, "duplicate": 0, "conflict": 0}
    assert stored_ids(client) == ["m-1"]
    assert quarantined(client) == []


def test_a_replay_keeps_the_time_of_the_first_delivery(client: FlaskClient) -> None:
    deliver(client, payload(message_id="m-1"), path="/webhook/changing")
    (entry,) = quarantined(client)
    Changing.understands = True

    replay(client, entry["id"])

    assert client.get("/messages/m-1").get_json()["received_at"] == entry["first_at"]


def test_an_entry_of_a_provider_that_is_no_longer_configured_stays(client: FlaskClient, database_url: str) -> None:
    deliver(client, payload(), path="/webhook/changing")
    (entry,) = quarantined(client)

    with application(database_url) as without:
        response = replay(without, entry["id"])

    assert response.status_code == 409
    assert len(quarantined(client)) == 1


def test_another_sites_page_can_not_replay(client: FlaskClient) -> None:
    deliver(client, b"{}")
    (entry,) = quarantined(client)

    response = client.post(f"/quarantine/{entry['id']}/replay", headers={"Sec-Fetch-Site": "cross-site"})

    assert response.status_code == 403


def test_one_is_dropped_for_good(client: FlaskClient) -> None:
    deliver(client, {"message_id": "bad"})
    (entry,) = quarantined(client)

    assert client.delete(f"/quarantine/{entry['id']}").status_code == 204
    assert client.delete(f"/quarantine/{entry['id']}").status_code == 404
    assert quarantined(client) == []


def test_all_of_a_reason_are_tried_again_page_by_page(client: FlaskClient) -> None:
    for number in range(3):
        deliver(client, payload(message_id=f"m-{number}"), path="/webhook/changing")
    deliver(client, payload(ts="yesterday"))
    Changing.understands = True

    first = client.post("/quarantine/replay?reason=parser_failed&limit=2").get_json()
    second = client.post(f"/quarantine/replay?reason=parser_failed&cursor={first['next_cursor']}").get_json()

    numbers = {"released": 2, "quarantined": 0, "created": 2, "duplicate": 0, "conflict": 0}
    assert {**numbers, "next_cursor": first["next_cursor"]} == first
    assert second == {"released": 1, "quarantined": 0, "created": 1, "duplicate": 0, "conflict": 0, "next_cursor": None}
    assert sorted(stored_ids(client)) == ["m-0", "m-1", "m-2"]
    assert [entry["reason"] for entry in quarantined(client)] == ["invalid_fields"]


def test_what_is_still_not_understood_stays_when_all_are_tried_again(client: FlaskClient) -> None:
    deliver(client, payload(ts="yesterday"))

    answer = client.post("/quarantine/replay").get_json()

    assert answer == {"released": 0, "quarantined": 1, "created": 0, "duplicate": 0, "conflict": 0, "next_cursor": None}
    assert len(quarantined(client)) == 1
