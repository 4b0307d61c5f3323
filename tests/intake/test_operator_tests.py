"""Test messages go the whole way of a delivery; people see them, and no program is given them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import pytest
from flask.testing import FlaskClient

from tests.support.app import application, deliver
from tests.support.consumers import ids, store
from tests.support.deliveries import SECRET, payload
from tests.support.messages import message
from tests.support.preset_keys import declaration, secret
from tests.support.sources import declare
from webhook_service.domain.consumers import BEGINNING, ConsumerKind, ConsumerOptions, FeedFilter
from webhook_service.domain.deliveries import Contents
from webhook_service.domain.secrets import Secrets
from webhook_service.intake.commit import DeliveryRows, commit
from webhook_service.intake.operator_tests import can_be_tested, send_test_message
from webhook_service.intake.take_in import INTAKE, Intake
from webhook_service.outlet.consumers import Consumers
from webhook_service.outlet.leases import Leases
from webhook_service.outlet.wait_checker import AfterMessage, ForConsumer, WaitChecker, WaitCondition
from webhook_service.providers.base import Sample
from webhook_service.providers.declared import Declared
from webhook_service.providers.native import Native
from webhook_service.providers.presets import PRESETS
from webhook_service.providers.registry import PROVIDERS
from webhook_service.providers.source import Source
from webhook_service.storage.database import Database
from webhook_service.storage.queries.consumers import list_consumers, read_lag
from webhook_service.storage.queries.messages import find_message

MAX_BODY = 100_000
WITHOUT_SAMPLE = """
[sources.shop]
provider = "custom"
secrets = [{env = "KEY"}]
verify = {scheme = "hmac", algorithm = "sha1", encoding = "hex", signature = {header = "X"}, signed = "{field:x}{body}"}
payload = {items = "body[]", message_id = "id", from = "a", to = "b"}
"""
OWN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def client(database_url: str) -> Iterator[FlaskClient]:
    """An application with every provider configured."""
    secrets = {provider.name: Secrets("whsec_" + "c2VjcmV0" * 4) for provider in PROVIDERS}
    options = {
        provider.name: dict.fromkeys(provider.option_settings, "https://inbox.example") for provider in PROVIDERS
    }
    with application(
        database_url, provider_secrets={**secrets, "native": Secrets(SECRET)}, provider_options=options
    ) as made:
        yield made


@pytest.mark.parametrize("provider", [provider.name for provider in PROVIDERS])
def test_a_test_message_is_verified_parsed_and_stored_as_such(provider: str, client: FlaskClient) -> None:
    intake = client.application.extensions[INTAKE]

    message_id, verdict = send_test_message(intake, intake.sources[provider])

    assert verdict.is_accepted
    assert verdict.secret is not None
    stored = client.get(f"/messages/{message_id}").get_json()
    assert (stored["provider"], stored["test"]) == (provider, True)


def test_no_program_is_given_a_test_message(client: FlaskClient) -> None:
    deliver(client, payload(message_id="real"))
    assert client.post("/dashboard/setup/native/test", headers=OWN).status_code == 200

    assert len(client.get("/messages").get_json()["data"]) == 2
    assert [each["message_id"] for each in client.get("/feed").get_json()["data"]] == ["real"]
    assert [each["message_id"] for each in client.get("/feed?source=native").get_json()["data"]] == ["real"]
    assert client.get("/export").text.count("\n") == 1
    assert "test" not in client.get("/messages/real").get_json()


@pytest.mark.parametrize("kind", ConsumerKind)
def test_no_consumer_and_no_destination_is_given_a_test_message(kind: ConsumerKind, database: Database) -> None:
    Consumers(database, kind).put("crm", ConsumerOptions(FeedFilter(), max_leases=2, max_attempts=5), BEGINNING)
    commit(database, [DeliveryRows.encode(Contents(messages=(message("test"),)), is_test=True)])
    with database.snapshot() as snapshot:
        (consumer,) = list_consumers(snapshot, kind)
        lag = read_lag(snapshot, consumer, datetime.now(UTC))
    assert (lag.messages, lag.seconds) == (0, 0.0)
    assert Leases(database, kind).lease("crm", limit=10, seconds=30) is None

    store(database, "real")

    assert ids(Leases(database, kind).lease("crm", limit=10, seconds=30)) == ["real"]


def test_a_test_message_ends_no_wait(client: FlaskClient, database: Database) -> None:
    wait_checker = WaitChecker(database)
    assert client.put("/consumers/crm").status_code == 201
    questions: set[WaitCondition] = {AfterMessage(0), ForConsumer(ConsumerKind.CONSUMER, "crm")}

    client.post("/dashboard/setup/native/test", headers=OWN)

    assert wait_checker.find_met(questions) == set()
    began = monotonic()
    assert client.get("/feed?wait=1").get_json()["data"] == []
    assert monotonic() - began >= 1
    store(database, "real")
    assert wait_checker.find_met(questions) == questions


def test_a_test_message_is_no_first_delivery(client: FlaskClient) -> None:
    page = client.post("/dashboard/setup/native/test", headers=OWN).text

    assert "Signed, verified and stored" in page
    assert "Waiting for the first delivery" in client.get("/dashboard/setup/native").text


def test_a_test_that_fails_says_why(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = Sample("/webhook", b"{}", {"X-Signature": "0" * 64})
    monkeypatch.setattr(Native, "sample", lambda _self, _message, _path: forged)

    page = client.post("/dashboard/setup/native/test", headers=OWN).text

    assert "The test message was not stored: wrong_signature." in page
    assert client.get("/quarantine").get_json()["data"] == []


def test_nobody_can_deliver_a_test_message(client: FlaskClient) -> None:
    deliver(client, payload(message_id="test-1", type="test", is_test=True, test=True))

    assert "test" not in client.get("/messages/test-1").get_json()
    assert len(client.get("/feed").get_json()["data"]) == 1


def test_a_source_whose_tables_fit_no_sample_is_listed_without_a_test(database_url: str, tmp_path: Path) -> None:
    configuration, problems = declare(tmp_path, WITHOUT_SAMPLE, {"KEY": SECRET})
    assert problems == []

    with application(database_url, configuration=configuration) as client:
        page = client.get("/dashboard/setup")
        tested = client.post("/dashboard/setup/shop/test", headers=OWN)

    assert (page.status_code, tested.status_code) == (200, 404)
    assert 'id="provider-shop"' in page.text
    assert page.text.count("Send a test message") == 1


def test_every_preset_that_can_be_signed_here_can_be_tested(database: Database) -> None:
    sources = {name: Source(name, Declared(declaration(name), Secrets(secret(name)))) for name in PRESETS}
    intake = Intake(sources, database, max_body_bytes=MAX_BODY)
    intake.activity.stop()

    testable = {name for name, source in sources.items() if can_be_tested(source)}
    problems = {}
    for name in testable:
        message_id, verdict = send_test_message(intake, sources[name])
        with database.snapshot() as snapshot:
            stored = find_message(snapshot, message_id)
        if stored is None or not stored.is_test or stored.source != name:
            problems[name] = (message_id, verdict)

    assert problems == {}
    assert testable == {name for name in PRESETS if declaration(name).rules.key_pair is None}
