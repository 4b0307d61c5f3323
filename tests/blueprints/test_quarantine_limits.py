"""No sender fills the disk: neither by what is kept of its deliveries, nor by what its items are made of."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.app import application, deliver
from tests.support.deliveries import SECRET, payload
from tests.support.messages import MOMENT
from tests.support.stored import opened
from tests.support.whatsapp import METADATA, a_message, a_status, a_value, of_values, post
from webhook_service.domain.limits import PROBLEMS_MAX
from webhook_service.domain.quarantine import Quarantined
from webhook_service.domain.secrets import Secrets
from webhook_service.providers.native import Native
from webhook_service.providers.whatsapp import WhatsApp
from webhook_service.storage.database import Database
from webhook_service.storage.queries.quarantine import add_quarantined, delete_quarantined, read_sizes

ROOM = 20_000  # bytes
LARGE, SMALL = b"x" * 12_000, b"y"


@pytest.fixture
def client(database_url: str) -> Iterator[FlaskClient]:
    secrets = {Native.name: Secrets(SECRET), WhatsApp.name: Secrets(SECRET)}
    options = {Native.name: {}, WhatsApp.name: {"WHATSAPP_VERIFY_TOKEN": "token"}}
    with application(
        database_url, provider_secrets=secrets, provider_options=options, quarantine_max_bytes=ROOM
    ) as made:
        yield made


def quarantined(client: FlaskClient) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = client.get("/quarantine").get_json()["data"]
    return listed


def test_what_has_no_room_in_quarantine_is_to_be_sent_again(client: FlaskClient) -> None:
    assert deliver(client, LARGE).status_code == 422

    answer = deliver(client, LARGE + b"x")

    metrics = client.get("/metrics").text
    assert answer.status_code == 503
    assert answer.get_json() == {"detail": "the quarantine of native is full"}
    assert answer.headers["Retry-After"] == "5"
    assert len(quarantined(client)) == 1
    assert 'webhook_refusals_total{provider="native",reason="quarantine_full",source="native"} 1.0' in metrics
    assert 'webhook_requests_total{provider="native",result="unavailable",source="native"} 1.0' in metrics


def test_a_full_quarantine_goes_on_counting_what_it_has(client: FlaskClient) -> None:
    deliver(client, LARGE)

    assert deliver(client, LARGE).status_code == 422
    assert [entry["count"] for entry in quarantined(client)] == [2]


def test_a_full_quarantine_stops_no_good_delivery_and_no_good_item(client: FlaskClient) -> None:
    large = {"id": "wamid.bad", "padding": "x" * 12_000}
    post(client, of_values(a_value(messages=[large])))

    good = post(client, of_values(a_value(messages=[a_message("wamid.1")])))
    mixed = post(client, of_values(a_value(messages=[{**large, "more": 1}, a_message("wamid.2")])))
    of_other = deliver(client, LARGE)

    metrics = client.get("/metrics").text
    assert (good.status_code, mixed.status_code, of_other.status_code) == (200, 503, 422)
    assert [entry["provider"] for entry in quarantined(client)] == ["whatsapp", "native"]
    assert client.get("/messages/wamid.2").status_code == 200
    assert 'webhook_items_total{kind="message",outcome="created",provider="whatsapp",source="whatsapp"} 2.0' in metrics


def test_a_conflict_without_room_is_to_be_sent_again(client: FlaskClient) -> None:
    first = payload()
    deliver(client, first)
    deliver(client, LARGE)

    answer = deliver(client, {**first, "text": "x" * 4_000, "more": "x" * 4_000})

    assert answer.status_code == 503
    assert len(quarantined(client)) == 1


def test_there_is_room_again_once_something_is_gone(client: FlaskClient, database: Database) -> None:
    deliver(client, LARGE)
    (entry,) = quarantined(client)
    with database.transaction() as transaction:
        delete_quarantined(transaction, entry["id"])

    assert deliver(client, LARGE + b"x").status_code == 422


def test_small_variants_without_end_are_bounded_too(client: FlaskClient) -> None:
    answers = [deliver(client, b"%d" % number).status_code for number in range(40)]

    assert answers == sorted(answers)
    (held,) = re.findall(r'quarantine_bytes{provider="native",source="native"} (.+)', client.get("/metrics").text)
    assert 0 < answers.count(422) < 20
    assert 0.9 * ROOM < float(held) < 1.1 * ROOM


def test_writers_at_once_keep_to_the_limit(database_url: str) -> None:
    def offer(writer: int) -> int:
        with opened(database_url) as database:
            kept = 0
            for number in range(10):
                body = b"%d %d" % (writer, number) + b"x" * 1_000
                with database.transaction() as transaction:
                    kept += add_quarantined(
                        transaction, Quarantined("native", body, {}, "/", "not_json", {}, MOMENT), ROOM
                    )
            return kept

    with ThreadPoolExecutor(3) as threads:
        kept = sum(threads.map(offer, range(3)))

    with opened(database_url) as database, database.snapshot() as snapshot:
        size = read_sizes(snapshot)["native"]
    assert size.deliveries == kept
    assert ROOM - 2_500 < size.bytes <= ROOM + 1_100


def test_readiness_warns_of_a_quarantine_that_is_nearly_full(client: FlaskClient) -> None:
    before = client.get("/health/ready")
    deliver(client, LARGE)
    deliver(client, LARGE[:3_000])

    after = client.get("/health/ready")

    assert (before.status_code, before.get_json()) == (200, {"status": "ok"})
    assert (after.status_code, after.get_json()["status"]) == (200, "ok")
    (warning,) = after.get_json()["warnings"]
    assert re.fullmatch("the quarantine of native is 8[0-9] % full", warning)


def test_what_is_said_once_is_not_stored_a_thousand_times(client: FlaskClient) -> None:
    shared = {**METADATA, "padding": "x" * 5_000}
    messages = [a_message(f"wamid.{number}") for number in range(100)]
    delivery = of_values({**a_value(messages=messages), "metadata": shared})

    answer = post(client, delivery)

    (entry,) = quarantined(client)
    assert answer.status_code == 200
    assert (entry["reason"], list(entry["problems"])) == ("amplified", ["body"])
    assert client.get("/messages").get_json()["total"] == 0


@pytest.mark.parametrize("number", [1, 20, 50])
def test_a_batch_as_it_is_sent_is_not_too_much(number: int, client: FlaskClient) -> None:
    messages = [a_message(f"wamid.{at}") for at in range(number)]
    statuses = [a_status(f"wamid.{at}", "sent") for at in range(number)]

    post(client, of_values(a_value(messages=messages, statuses=statuses)))

    assert quarantined(client) == []
    assert client.get("/messages").get_json()["total"] == number


def test_only_the_first_problems_of_a_delivery_are_named(client: FlaskClient) -> None:
    post(client, of_values(a_value(messages=[{} for _ in range(PROBLEMS_MAX + 1_000)])))

    (entry,) = quarantined(client)
    assert len(entry["problems"]) == PROBLEMS_MAX + 1
    assert entry["problems"]["…"] == ["1,000 more"]
