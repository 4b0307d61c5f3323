"""Health, errors and the line of each request, word by word."""

from pathlib import Path

import pytest
from werkzeug.test import Client

from tests.blueprints.contract_clients import EVERYWHERE, ON_SQLITE, served
from tests.support.app import application, deliver
from tests.support.deliveries import payload
from webhook_service.domain.secrets import Secrets

client = pytest.fixture(params=EVERYWHERE, ids="-".join)(served)
sqlite_client = pytest.fixture(params=ON_SQLITE, ids="-".join)(served)


@pytest.mark.parametrize(
    "path",
    [
        "/messages/nothing",
        "/nothing",
        "/webhook/",
        "/webhook/native",
        "/webhook/twilio",
        "/webhook/a/b",
        "/health",
        "/health/",
        "/messages/%00",
    ],
)
def test_what_is_not_there_is_404(path: str, client: Client) -> None:
    method = "POST" if path.startswith("/webhook/") else "GET"

    response = client.open(path, method=method)

    assert (response.status_code, response.json) == (404, {"detail": "not found"})


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/webhook", {"POST", "OPTIONS"}),
        ("PUT", "/webhook", {"POST", "OPTIONS"}),
        ("POST", "/messages", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", "/messages/a", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/stats", {"GET", "HEAD", "OPTIONS"}),
        ("BREW", "/health/live", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_a_method_that_is_not_there_is_405(method: str, path: str, allowed: set[str], sqlite_client: Client) -> None:
    response = sqlite_client.open(path, method=method)

    assert (response.status_code, response.json) == (405, {"detail": "method not allowed"})
    assert set(response.headers["Allow"].split(", ")) == allowed


def test_an_error_of_ours_is_500_and_says_nothing_of_the_inside(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(query_string: bytes) -> None:
        raise RuntimeError("an inside detail")

    monkeypatch.setattr("webhook_service.blueprints.messages.load_message_query", broken)

    with application(sqlite_url) as client:
        response = client.get("/messages")

    assert (response.status_code, response.json) == (500, {"detail": "internal error"})


def test_the_stats_are_the_totals(client: Client) -> None:
    assert client.get("/stats").json == {
        "total_messages": 0,
        "senders_count": 0,
        "messages_per_sender": [],
        "first_message_ts": None,
        "last_message_ts": None,
    }

    for sender, ts in (
        ("+1", "2025-01-15T10:00:00.25Z"),
        ("+2", "2025-01-14T10:00:00Z"),
        ("+2", "2025-01-16T10:00:00Z"),
    ):
        deliver(client, payload(sender=sender, ts=ts))

    assert client.get("/stats").json == {
        "total_messages": 3,
        "senders_count": 2,
        "messages_per_sender": [{"from": "+2", "count": 2}, {"from": "+1", "count": 1}],
        "first_message_ts": "2025-01-14T10:00:00Z",
        "last_message_ts": "2025-01-16T10:00:00Z",
    }


def test_a_service_in_order_is_live_and_ready(client: Client) -> None:
    for path in ("/health/live", "/health/ready"):
        response = client.get(path)
        assert (response.status_code, response.json) == (200, {"status": "ok"})


def test_without_a_secret_it_is_live_but_not_ready(sqlite_url: str) -> None:
    with application(sqlite_url, provider_secrets={}) as client:
        live, ready, webhook = (
            client.get("/health/live"),
            client.get("/health/ready"),
            client.post("/webhook", data=b"{}"),
        )

    assert live.status_code == 200
    assert (ready.status_code, ready.json) == (503, {"detail": "WEBHOOK_SECRET is not set"})
    assert (webhook.status_code, webhook.json) == (503, {"detail": "WEBHOOK_SECRET is not set"})
    assert webhook.headers["Retry-After"].isdecimal()


def test_with_any_source_it_is_ready(sqlite_url: str) -> None:
    with application(
        sqlite_url,
        provider_secrets={"whatsapp": Secrets("app-secret")},
        provider_options={"whatsapp": {"WHATSAPP_VERIFY_TOKEN": "verify"}},
    ) as client:
        assert client.get("/health/ready").status_code == 200


def test_without_a_database_it_is_live_but_not_ready(tmp_path: Path) -> None:
    with application(f"sqlite:///{tmp_path / 'app.db'}") as client:
        answers = [
            client.get("/health/ready"),
            deliver(client, payload()),
            client.get("/messages"),
            client.get("/stats"),
        ]

        assert client.get("/health/live").status_code == 200

    assert [answer.status_code for answer in answers] == [503] * 4
    assert [answer.json for answer in answers] == [{"detail": "the database file is missing or can't be opened"}] * 4
    assert answers[1].headers["Retry-After"].isdecimal()


@pytest.mark.parametrize("sane", ["abc-123", "A._:/+=-9", "a" * 128])
def test_a_sane_request_id_is_the_callers(sane: str, sqlite_client: Client) -> None:
    assert sqlite_client.get("/stats", headers={"X-Request-ID": sane}).headers["X-Request-ID"] == sane


@pytest.mark.parametrize("claimed", [None, "", "a" * 129, "a b", "é", '"', "a;b", "<script>"])
def test_any_other_request_id_is_made_anew(claimed: str | None, sqlite_client: Client) -> None:
    headers = {} if claimed is None else {"X-Request-ID": claimed}

    made = [sqlite_client.get("/stats", headers=headers).headers["X-Request-ID"] for _ in range(2)]

    assert claimed not in made
    assert len(set(made)) == 2


@pytest.mark.parametrize("path", ["/webhook", "/nothing", "/messages?limit=0", "/health/live", "/metrics"])
def test_every_response_has_a_request_id(path: str, sqlite_client: Client) -> None:
    assert sqlite_client.get(path, headers={"X-Request-ID": "mine"}).headers["X-Request-ID"] == "mine"
