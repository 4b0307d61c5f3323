"""An invented inbox, to try the dashboard."""

import json
from collections.abc import Iterator, Mapping
from signal import SIGINT
from tempfile import TemporaryFile

import pytest
from flask.testing import FlaskClient

from tests.support.app import application, deliver
from tests.support.commands import call_cli
from tests.support.deliveries import SECRET, payload
from tests.support.forked import run_cli, spawn
from tests.support.processes import environment
from tests.support.waiting import wait_until
from tests.support.whatsapp import post
from webhook_service.commands.inventing import QUARANTINED
from webhook_service.domain.results import Reason
from webhook_service.domain.secrets import Secrets


@pytest.fixture
def client(sqlite_url: str) -> Iterator[FlaskClient]:
    with application(sqlite_url) as made:
        yield made


def test_an_empty_inbox_is_filled_with_messages_receipts_and_quarantined_deliveries(
    sqlite_url: str, client: FlaskClient
) -> None:
    done = run_cli("demo", "--count", "230", environ=environment(sqlite_url))

    assert done.returncode == 0
    assert client.get("/stats").get_json()["total_messages"] == 230
    assert {message["provider"] for message in client.get("/messages?limit=100").get_json()["data"]} >= {
        *("whatsapp", "twilio", "native", "standard"),
    }
    assert client.get("/receipts").get_json()["data"]
    assert [entry["count"] for entry in client.get("/quarantine").get_json()["data"]] == [12, 2, 1]


@pytest.mark.parametrize(("name", "reason", "problems", "raw"), [invented[:4] for invented in QUARANTINED])
def test_what_is_invented_for_quarantine_is_what_the_service_finds(
    name: str, reason: Reason, problems: Mapping[str, list[str]], raw: bytes, sqlite_url: str
) -> None:
    secrets = {"native": Secrets(SECRET), "whatsapp": Secrets(SECRET)}
    options = {"native": {}, "whatsapp": {"WHATSAPP_VERIFY_TOKEN": "token"}}
    with application(sqlite_url, provider_secrets=secrets, provider_options=options) as made:
        if name == "native":
            deliver(made, raw)
        else:
            post(made, json.loads(raw))
        (entry,) = made.get("/quarantine").get_json()["data"]

    assert (entry["reason"], entry["problems"]) == (reason, problems)


def test_an_inbox_that_holds_anything_is_left_alone(sqlite_url: str, client: FlaskClient) -> None:
    for content in ({"message_id": "bad"}, payload()):
        deliver(client, content)
        before = client.get("/stats").get_json()["total_messages"]

        done = call_cli("demo", environ=environment(sqlite_url))

        assert done.returncode == 1
        assert "not empty" in done.stderr
        assert client.get("/stats").get_json()["total_messages"] == before


def test_a_trickle_goes_on_until_it_is_interrupted_and_can_be_taken_up_again(
    sqlite_url: str, client: FlaskClient
) -> None:
    filled = trickle_until(20, sqlite_url, client)

    assert trickle_until(filled, sqlite_url, client) > filled


def trickle_until(number: int, url: str, client: FlaskClient) -> int:
    """Has messages trickle in until there are more than a number; returns how many there are."""
    with TemporaryFile() as output:
        trickle = spawn(("webhook-service", "demo", "--count", "20", "--trickle"), environment(url), output, output)
        try:
            wait_until(lambda: client.get("/stats").get_json()["total_messages"] > number, "a message")
            trickle.send_signal(SIGINT)
            assert trickle.wait(60) == 0
        finally:
            trickle.kill()
    total: int = client.get("/stats").get_json()["total_messages"]
    return total
