"""Destinations over HTTP, on the pages and in the metrics: how they are doing, and putting them right."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from tests.support.app import application
from tests.support.consumers import store
from tests.support.forwarding_destinations import destination, forwarding
from tests.support.receivers import Receiver, accept, answer
from tests.support.waiting import wait_until
from webhook_service.configuration.loading import Configuration
from webhook_service.domain.destinations import Destination, DestinationReport, Retries
from webhook_service.domain.secrets import Secrets
from webhook_service.outlet import destinations
from webhook_service.outlet.destinations import Destinations
from webhook_service.storage.database import Database

BRIEF = Retries(first=0.01, longest=0.01, total=0.01)
OWN = {"Sec-Fetch-Site": "same-origin"}
LONG = Retries(first=3600, longest=3600)


@pytest.fixture
def failing() -> Iterator[Receiver]:
    with Receiver(answer(410, b"<b>gone</b>")) as receiver:
        yield receiver


@pytest.fixture
def shop(failing: Receiver) -> Destination:
    return destination(failing, retries=LONG)


@pytest.fixture
def client(database_url: str, shop: Destination) -> Iterator[FlaskClient]:
    with application(database_url, configuration=Configuration(destinations={"shop": shop})) as made:
        yield made


def status(database: Database) -> DestinationReport:
    return Destinations(database, {}).read("shop")


def disable(database: Database, shop: Destination) -> None:
    """Has a destination answer 410 to a message."""
    store(database, "m1")
    with forwarding(database, shop):
        wait_until(lambda: status(database).retries == 1, "the failure")


def bury(database: Database, failing: Receiver) -> None:
    """Has a message become a dead letter."""
    failing.answer = answer(500, b"<b>broken</b>")
    store(database, "m1")
    with forwarding(database, destination(failing, retries=BRIEF)):
        wait_until(lambda: status(database).dead_letters == 1, "the dead letter")


def test_a_destination_that_no_forwarder_knows_is_new(client: FlaskClient) -> None:
    (shown,) = client.get("/destinations").get_json()["data"]

    assert (shown["name"], shown["state"], shown["place"], shown["lag"]) == ("shop", "new", None, None)


def test_a_destination_says_how_it_is_doing(client: FlaskClient, database: Database, shop: Destination) -> None:
    disable(database, shop)
    store(database, "m2")
    (shown,) = client.get("/destinations").get_json()["data"]

    assert shown["url"] == shop.target.url
    assert (shown["state"], shown["failed"], shown["pushed"], shown["retries"]) == ("disabled", 1, 0, 1)
    assert (shown["last_status"], shown["last_failure"], shown["last_pushed_at"]) == (410, "status", None)
    assert (shown["lag"]["messages"], shown["lag"]["is_exact"]) == (1, True)
    after = client.get(f"/feed?after={shown['place']}").get_json()["data"]
    assert [message["message_id"] for message in after] == ["m2"]


def test_what_waits_is_counted_up_to_a_number_and_is_at_least_that_beyond(
    client: FlaskClient, database: Database, shop: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    disable(database, shop)

    def shown() -> tuple[int, bool]:
        (destination,) = client.get("/destinations").get_json()["data"]
        return destination["retries"], destination["retries_is_exact"]

    counted = []
    for most in (1, 0):
        monkeypatch.setattr(destinations, "RETRIES_COUNTED_MAX", most)
        counted.append(shown())

    assert counted == [(1, True), (0, False)]
    assert "0+ waiting" in client.get("/dashboard/destinations").text
    assert "0 or more" in client.get("/dashboard/destinations/shop").text


def test_a_destination_that_is_resumed_is_pushed_to_again(
    client: FlaskClient, database: Database, shop: Destination, failing: Receiver
) -> None:
    disable(database, shop)
    failing.answer = answer(200)
    resumed = client.post("/destinations/shop/resume")
    with forwarding(database, shop):
        wait_until(lambda: status(database).health.pushed == 1, "the message")

    assert (resumed.status_code, resumed.get_json()["state"]) == (200, "active")
    assert status(database).retries == 0


@pytest.mark.parametrize(
    ("start", "pushed"),
    [
        ({"to": "beginning"}, ["m1", "m2", "m3"]),
        ({"message_id": "m2"}, ["m2", "m3"]),
        ({"since": "2020-01-01T00:00:00Z"}, ["m1", "m2", "m3"]),
        ({"to": "now"}, []),
    ],
)
def test_a_destination_that_is_moved_is_pushed_to_from_there_on(
    client: FlaskClient,
    database: Database,
    shop: Destination,
    failing: Receiver,
    start: dict[str, str],
    pushed: list[str],
) -> None:
    failing.answer = accept
    store(database, "m1", "m2", "m3")
    with forwarding(database, shop):
        wait_until(lambda: status(database).health.pushed == 3, "all messages")
    failing.received.clear()
    moved = client.post("/destinations/shop/seek", json=start)
    store(database, "m4")
    with forwarding(database, shop):
        wait_until(lambda: "m4" in failing.ids(), "the message that came later")

    assert (moved.status_code, moved.get_json()["lag"]["messages"]) == (200, len(pushed))
    assert failing.ids() == [*pushed, "m4"]


@pytest.mark.parametrize("start", [{}, {"to": "the end"}, {"to": "now", "message_id": "m1"}, {"message_id": "none"}])
def test_a_destination_is_moved_to_no_place_that_is_not_there(
    client: FlaskClient, database: Database, shop: Destination, failing: Receiver, start: dict[str, str]
) -> None:
    failing.answer = accept
    store(database, "m1")
    with forwarding(database, shop):
        wait_until(lambda: status(database).health.pushed == 1, "the message")
    before = status(database)

    assert client.post("/destinations/shop/seek", json=start).status_code == 422
    assert status(database).place == before.place


def test_only_one_that_is_declared_no_more_can_be_forgotten(
    client: FlaskClient, database: Database, database_url: str, shop: Destination
) -> None:
    disable(database, shop)

    assert client.delete("/destinations/shop").status_code == 409
    with application(database_url) as without:
        (shown,) = without.get("/destinations").get_json()["data"]
        assert shown["url"] is None
        assert without.delete("/destinations/shop").status_code == 204
        assert without.get("/destinations").get_json() == {"data": []}


@pytest.mark.parametrize(("method", "path"), [("POST", "none/resume"), ("POST", "none/seek"), ("DELETE", "none")])
def test_a_destination_that_is_not_there_is_404(client: FlaskClient, method: str, path: str) -> None:
    assert client.open(f"/destinations/{path}", method=method, json={"to": "now"}).status_code == 404


def test_resuming_moving_and_forgetting_are_for_admins(database_url: str) -> None:
    reader = {"Authorization": "Bearer reads"}
    with application(database_url, api_token=Secrets("reads"), admin_token=Secrets("administers")) as client:
        assert client.get("/destinations", headers=reader).status_code == 200
        assert client.post("/destinations/shop/resume", headers=reader).status_code == 403
        assert client.post("/destinations/shop/seek", json={"to": "now"}, headers=reader).status_code == 403
        assert client.delete("/destinations/shop", headers=reader).status_code == 403


def test_the_metrics_know_each_destination(client: FlaskClient, database: Database, shop: Destination) -> None:
    disable(database, shop)
    text = client.get("/metrics").text

    for name in ("paused", "retries_waiting", "pushes_failed_total"):
        assert f'destination_{name}{{destination="shop"}} 1.0' in text


def test_the_pages_show_attempts_and_answers_and_resume(
    client: FlaskClient, database: Database, shop: Destination
) -> None:
    assert "new" in client.get("/dashboard/destinations").text
    disable(database, shop)
    listed, page = client.get("/dashboard/destinations").text, client.get("/dashboard/destinations/shop").text

    assert "disabled" in listed
    assert "m1" in page
    assert "&lt;b&gt;gone&lt;/b&gt;" in page
    assert client.post("/dashboard/destinations/shop/resume", headers=OWN).status_code == 303
    assert "disabled" not in client.get("/dashboard/destinations").text


@pytest.mark.parametrize("action", ["retry/{id}", "retry", "retry?since=2020-01-01T00:00:00Z"])
def test_the_pages_retry_dead_letters(client: FlaskClient, database: Database, failing: Receiver, action: str) -> None:
    bury(database, failing)
    (letter,) = client.get("/dead-letters?destination=shop").get_json()["data"]
    page = client.get("/dashboard/destinations/shop").text
    answered = client.post(f"/dashboard/destinations/shop/{action.format(id=letter['id'])}", headers=OWN)

    assert "&lt;b&gt;broken&lt;/b&gt;" in page
    assert letter["attempts"][0]["status"] == 500
    assert answered.status_code == 303
    assert client.get("/dead-letters").get_json()["data"] == []


def test_the_pages_retry_no_dead_letter_of_another(client: FlaskClient, database: Database, failing: Receiver) -> None:
    bury(database, failing)
    (letter,) = client.get("/dead-letters").get_json()["data"]

    assert client.post(f"/dashboard/destinations/other/retry/{letter['id']}", headers=OWN).status_code == 404
