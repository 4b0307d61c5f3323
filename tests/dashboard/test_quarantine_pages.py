"""The pages of the quarantine and of conflicts as a browser without JavaScript gets them."""

import re
from html import unescape

import pytest
from flask.testing import FlaskClient

from tests.dashboard.pages import OWN, on_each_database, on_sqlite
from tests.support.app import deliver
from tests.support.deliveries import payload
from webhook_service.dashboard.quarantine import RAW_SHOWN, view_raw
from webhook_service.domain.deliveries import Contents, Delivery
from webhook_service.domain.errors import PayloadInvalid
from webhook_service.domain.results import Reason
from webhook_service.providers.native import Native

client = pytest.fixture(on_sqlite)
any_client = pytest.fixture(on_each_database)


def test_the_quarantine_of_one_source_is_listed_and_replayed_alone(client: FlaskClient) -> None:
    deliver(client, {"message_id": "bad"})

    others = client.get("/dashboard/quarantine?source=whatsapp").text
    own = client.get("/dashboard/quarantine?source=native").text

    assert "/dashboard/quarantine/1" not in others
    assert "/dashboard/quarantine/1" in own
    assert "/dashboard/quarantine/replay?source=native" in unescape(own)
    replayed = client.post("/dashboard/quarantine/replay?source=whatsapp", headers=OWN).text
    assert "0 left the quarantine" in replayed
    assert "0 still in quarantine" in replayed


def test_a_quarantined_delivery_is_shown_tried_again_and_dropped(client: FlaskClient) -> None:
    deliver(client, {"message_id": "<bad>"})

    assert "invalid_fields" in client.get("/dashboard/quarantine").text
    shown = client.get("/dashboard/quarantine/1").text
    assert "&lt;bad&gt;" in unescape(shown).replace("<bad>", "&lt;bad&gt;")
    assert "Still in quarantine: invalid_fields" in client.post("/dashboard/quarantine/1/replay", headers=OWN).text
    assert (
        "0 left the quarantine" in client.post("/dashboard/quarantine/replay?reason=invalid_fields", headers=OWN).text
    )
    assert "Dropped" in client.post("/dashboard/quarantine/1/drop", headers=OWN).text
    assert client.get("/dashboard/quarantine/1").status_code == 404
    assert "Nothing is in quarantine" in client.get("/dashboard/quarantine").text


def test_a_message_in_conflict_is_stored_under_a_new_id_on_request(client: FlaskClient) -> None:
    deliver(client, payload(message_id="m1", text="first"))
    deliver(client, payload(message_id="m1", text="second"))

    replayed = client.post("/dashboard/quarantine/1/replay", headers=OWN).text
    (renaming,) = re.findall(r'hx-post="([^"]*rename=true)"', replayed)
    renamed = client.post(renaming, headers=OWN).text

    assert "Still in quarantine: id_conflict. m1: id_conflict 0 created, 0 duplicate, 1 conflict." in replayed
    assert "All of it is stored: 1 created, 0 duplicate, 0 conflict. It left the quarantine." in renamed
    assert {message["text"] for message in client.get("/messages").get_json()["data"]} == {"first", "second"}
    assert client.get("/quarantine").get_json()["data"] == []


def test_a_message_shows_its_conflicts(any_client: FlaskClient) -> None:
    for message_id, text in (("m1", "first"), ("m1", "second"), ("m2", "first"), ("m2", "second")):
        deliver(any_client, payload(message_id=message_id, text=text))

    page = any_client.get("/dashboard/messages?message=m1").text

    assert re.findall(r'<a href="/dashboard/quarantine/(\d)">Delivery', page) == ["1"]
    assert "Conflicts" not in any_client.get("/dashboard/messages?message=m3").text


def test_fields_at_fault_are_marked_in_the_body(client: FlaskClient) -> None:
    deliver(client, payload(message_id="m1", sender="nobody", note={"from": "<b>"}, text='"from" is text'))

    page = client.get("/dashboard/quarantine/1").text

    assert re.findall("(.{7})<mark>([^<]+)</mark>", unescape(page)) == [(' "m1", ', '"from"')]
    assert "&lt;b&gt;" in page


def test_only_a_delivery_in_conflict_is_offered_a_new_id(client: FlaskClient) -> None:
    deliver(client, {"message_id": "bad"})

    assert "rename" not in client.get("/dashboard/quarantine/1").text


def test_a_replay_shows_what_is_wrong_with_it_at_that_time(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(client, payload(ts="yesterday"))

    def parse(_self: Native, _delivery: Delivery) -> Contents:
        raise PayloadInvalid(Reason.INVALID_FIELDS, {"to": ["Not one of ours."]})

    monkeypatch.setattr(Native, "parse", parse)
    page = client.post("/dashboard/quarantine/1/replay", headers=OWN).text

    assert "Still in quarantine: invalid_fields. to: Not one of ours. 0 created, 0 duplicate, 0 conflict." in page


def test_a_body_is_shown_as_text_and_as_hex() -> None:
    assert (
        view_raw(b'{"a"}\n\x00').hex_dump == "00000000  7b 22 61 22 7d 0a 00                             " + '{"a"}..'
    )
    assert view_raw(b"\xff").text is None
    assert view_raw(b"\xc3\xa9").text == ["é"]
    large = view_raw("é".encode() * RAW_SHOWN)
    assert (large.is_cut, len((large.text or [""])[0])) == (True, RAW_SHOWN // 2)
