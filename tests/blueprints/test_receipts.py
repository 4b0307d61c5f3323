"""What became of outgoing messages, as the providers reported it."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from tests.support.app import application
from tests.support.deliveries import SECRET
from tests.support.whatsapp import a_message, a_status, a_value, of_values, post
from webhook_service.domain.secrets import Secrets
from webhook_service.providers.whatsapp import WhatsApp

EARLIER, LATER = "1772366000", "1772366100"


@pytest.fixture
def client(database_url: str) -> Iterator[FlaskClient]:
    with application(
        database_url,
        provider_secrets={WhatsApp.name: Secrets(SECRET)},
        provider_options={WhatsApp.name: {"WHATSAPP_VERIFY_TOKEN": "token"}},
    ) as made:
        yield made


def statuses(client: FlaskClient, query: str = "") -> list[str]:
    """The statuses that ``/receipts`` lists, in its order."""
    return [receipt["status"] for receipt in client.get(f"/receipts{query}").get_json()["data"]]


def test_a_receipt_has_the_providers_time_and_ours(client: FlaskClient) -> None:
    post(client, of_values(a_value(statuses=[a_status("wamid.1", "delivered", timestamp=EARLIER)])))

    (receipt,) = client.get("/receipts").get_json()["data"]
    assert receipt["ts"] == "2026-03-01T11:53:20Z"
    assert receipt["received_at"] > receipt["ts"]
    assert (receipt["message_id"], receipt["recipient"]) == ("wamid.1", "+4915112345678")
    assert "error" not in receipt


def test_a_later_sent_never_hides_a_delivered(client: FlaskClient) -> None:
    post(client, of_values(a_value(statuses=[a_status("wamid.1", "delivered", timestamp=LATER)])))

    post(client, of_values(a_value(statuses=[a_status("wamid.1", "sent", timestamp=EARLIER)])))

    assert sorted(statuses(client)) == ["delivered", "sent"]


def test_the_same_status_again_is_a_duplicate_and_the_first_stays(client: FlaskClient) -> None:
    post(client, of_values(a_value(statuses=[a_status("wamid.1", timestamp=EARLIER)])))

    post(client, of_values(a_value(statuses=[a_status("wamid.1", timestamp=LATER)])))

    (receipt,) = client.get("/receipts").get_json()["data"]
    assert receipt["ts"] == "2026-03-01T11:53:20Z"


def test_two_statuses_of_one_message_in_one_delivery_are_both_new(client: FlaskClient) -> None:
    post(client, of_values(a_value(statuses=[a_status("wamid.1", "sent"), a_status("wamid.1", "delivered")])))

    metrics = client.get("/metrics").text
    assert 'webhook_items_total{kind="receipt",outcome="created",provider="whatsapp",source="whatsapp"} 2.0' in metrics
    assert (
        'webhook_items_total{kind="receipt",outcome="duplicate",provider="whatsapp",source="whatsapp"} 0.0' in metrics
    )


def test_every_recipient_of_a_message_has_a_receipt(client: FlaskClient) -> None:
    both = [a_status("wamid.1", recipient_id=number) for number in ("4915112345678", "4915187654321")]

    post(client, of_values(a_value(statuses=both)))

    assert statuses(client, "?message_id=wamid.1") == ["sent", "sent"]


def test_receipts_are_chosen_by_message_and_by_status(client: FlaskClient) -> None:
    reported = [a_status("wamid.1", "sent"), a_status("wamid.1", "read"), a_status("wamid.2", "sent")]
    post(client, of_values(a_value(statuses=reported)))

    assert statuses(client, "?message_id=wamid.1") == ["sent", "read"]
    assert statuses(client, "?status=sent") == ["sent", "sent"]
    assert statuses(client, "?status=sent&message_id=wamid.2") == ["sent"]
    assert statuses(client, "?status=failed") == []


def test_a_failure_says_why(client: FlaskClient) -> None:
    failed = a_status("wamid.1", "failed", errors=[{"code": 131026, "title": "Message undeliverable"}])

    post(client, of_values(a_value(statuses=[failed])))

    (receipt,) = client.get("/receipts").get_json()["data"]
    assert receipt["error"] == "131026: Message undeliverable"


def test_a_message_shows_its_receipts(client: FlaskClient) -> None:
    post(client, of_values(a_value(messages=[a_message("wamid.1")], statuses=[a_status("wamid.1", "read")])))

    shown = client.get("/messages/wamid.1").get_json()

    assert [receipt["status"] for receipt in shown["receipts"]] == ["read"]


def test_pages_go_on_where_the_last_ended_and_never_repeat(client: FlaskClient) -> None:
    post(client, of_values(a_value(statuses=[a_status(f"wamid.{number}") for number in range(5)])))
    seen: list[str] = []
    query = "?limit=2"

    while query:
        page = client.get(f"/receipts{query}").get_json()
        seen += [receipt["message_id"] for receipt in page["data"]]
        post(client, of_values(a_value(statuses=[a_status("wamid.0", "read"), a_status("wamid.1", "delivered")])))
        query = f"?limit=2&cursor={page['next_cursor']}" if page["next_cursor"] and len(seen) < 5 else ""

    assert seen[:5] == [f"wamid.{number}" for number in range(5)]


@pytest.mark.parametrize("query", ["?limit=0", "?limit=101", "?cursor=x", "?cursor=%C3%BC", "?message_id=%00"])
def test_a_bad_parameter_is_422(client: FlaskClient, query: str) -> None:
    assert client.get(f"/receipts{query}").status_code == 422


def test_a_cursor_of_another_list_is_422(client: FlaskClient) -> None:
    post(client, of_values(a_value(statuses=[a_status(f"wamid.{number}") for number in range(5)])))
    foreign = client.get("/receipts?limit=2&status=sent").get_json()["next_cursor"]

    response = client.get(f"/receipts?cursor={foreign}")

    assert response.status_code == 422
    assert list(response.get_json()["errors"]) == ["cursor"]


def test_a_batch_of_a_thousand_is_stored_whole(client: FlaskClient) -> None:
    messages = [a_message(f"wamid.m{number}") for number in range(700)]
    reported = [a_status(f"wamid.s{number}") for number in range(300)]

    response = post(client, of_values(a_value(messages=messages, statuses=reported)))

    assert response.status_code == 200
    assert client.get("/messages?limit=1").get_json()["total"] == 700
    assert (
        'webhook_items_total{kind="receipt",outcome="created",provider="whatsapp",source="whatsapp"} 300.0'
        in client.get("/metrics").text
    )
