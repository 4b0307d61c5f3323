"""Every endpoint's answers, word by word: of Flask alone, of the service's worker, and of gunicorn's own."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from werkzeug.test import Client, TestResponse

from tests.support.app import application, deliver
from tests.support.deliveries import SECRET, payload, signed, to_bytes
from tests.support.forwarding import client_of
from tests.support.postgresql import fresh_database
from tests.support.server import Server
from tests.support.stored import empty
from webhook_service.domain.secrets import Secrets

WORKERS = {"worker": "webhook_service.serving.worker.InboxWorker", "gthread": "gthread"}
ON_SQLITE = [("Flask", "sqlite"), ("worker", "sqlite"), ("gthread", "sqlite")]
EVERYWHERE = [*ON_SQLITE, ("Flask", "postgresql"), ("worker", "postgresql")]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Server]]:
    """The servers that were started, by worker and kind of database."""
    started: dict[tuple[str, str], Server] = {}
    yield started
    for server in started.values():
        server.__exit__(None, None, None)


def served(request: pytest.FixtureRequest, servers: dict[tuple[str, str], Server]) -> Iterator[Client]:
    """A client of an empty service, which runs where the parameter says."""
    where, kind = request.param
    if where == "Flask":
        with application(request.getfixturevalue(f"{kind}_url")) as made:
            yield made
        return
    if request.param not in servers:
        url = request.getfixturevalue(f"contract_{kind}_url")
        worker = f"--worker-class {WORKERS[where]}"
        servers[request.param] = Server(url, WEB_CONCURRENCY="1", GUNICORN_CMD_ARGS=worker).__enter__()
    server = servers[request.param]
    empty(server.environ["DATABASE_URL"])
    yield client_of(server)


@pytest.fixture(scope="session")
def contract_sqlite_url(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path_factory.mktemp('contract') / 'app.db')}"


@pytest.fixture(scope="session")
def contract_postgresql_url(postgresql_server: str, postgresql_template: str) -> Iterator[str]:
    with fresh_database(postgresql_server, postgresql_template) as url:
        yield url


client = pytest.fixture(params=EVERYWHERE, ids="-".join)(served)
sqlite_client = pytest.fixture(params=ON_SQLITE, ids="-".join)(served)


@pytest.fixture
def small_client(sqlite_url: str) -> Iterator[Client]:
    with application(sqlite_url, max_body_bytes=1024) as made:
        yield made


def ids(response: TestResponse) -> list[str]:
    assert response.status_code == 200, response.text
    return [message["message_id"] for message in response.json["data"]]  # type: ignore[index]  # JSON, as Any or None


def test_a_delivery_is_answered_ok(client: Client) -> None:
    response = deliver(client, payload())

    assert (response.status_code, response.data, response.content_type) == (200, b'{"status":"ok"}', "application/json")


def test_a_duplicate_is_answered_ok_and_changes_nothing(client: Client) -> None:
    deliver(client, payload(message_id="a", text="first"))

    response = deliver(client, payload(message_id="a", text="second"))

    assert (response.status_code, response.data) == (200, b'{"status":"ok"}')
    assert client.get("/messages/a").json["text"] == "first"  # type: ignore[index]
    assert client.get("/messages").json["total"] == 1  # type: ignore[index]


@pytest.mark.parametrize("headers", [{}, {"X-Signature": "0" * 64}, {"X-Signature": "é"}, signed(b"other")])
@pytest.mark.parametrize("raw", [to_bytes(payload()), b"no JSON", b""])
def test_an_unsigned_delivery_is_401_whatever_it_holds(
    raw: bytes, headers: dict[str, str], sqlite_client: Client
) -> None:
    response = sqlite_client.post("/webhook", data=raw, headers=headers)

    assert (response.status_code, response.json) == (401, {"detail": "invalid signature"})


def test_whitespace_and_the_order_of_keys_are_signed_too(sqlite_client: Client) -> None:
    content = payload()
    raw, spaced = to_bytes(content), json.dumps(content, indent=1).encode()
    reordered = to_bytes(dict(reversed(content.items())))

    assert [
        sqlite_client.post("/webhook", data=sent, headers=signed(raw)).status_code for sent in (spaced, reordered, raw)
    ] == [401, 401, 200]


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "é"]
)
def test_any_content_type_is_taken(content_type: str | None, sqlite_client: Client) -> None:
    raw = to_bytes(payload())

    response = sqlite_client.post("/webhook", data=raw, headers=signed(raw), content_type=content_type)

    assert response.status_code == 200


def test_a_payload_that_breaks_the_contract_is_422_naming_the_fields(sqlite_client: Client) -> None:
    response = deliver(sqlite_client, payload(sender="1", ts=0))

    assert response.status_code == 422
    assert response.json == {
        "detail": "invalid payload",
        "errors": {
            "from": ["Not an E.164 number: a plus and 1 to 15 digits."],
            "ts": ["Not an ISO 8601 timestamp with a time zone."],
        },
    }


@pytest.mark.parametrize("raw", [b"", b"no JSON", b"[]", b"\xff", b"[" * 20_000])
def test_a_body_that_is_no_object_is_422(raw: bytes, sqlite_client: Client) -> None:
    response = deliver(sqlite_client, raw)

    assert response.status_code == 422
    assert response.json["detail"] == "invalid payload"  # type: ignore[index]
    assert list(response.json["errors"]) == ["body"]  # type: ignore[index]


@pytest.mark.parametrize("depth", [60, 70, 200, 500, *range(700, 1000, 20)])
def test_nested_extras_are_stored_and_shown_or_refused(depth: int, sqlite_client: Client) -> None:
    raw = to_bytes(payload())[:-1] + b',"extra":' + b"[" * depth + b"]" * depth + b"}"

    response = deliver(sqlite_client, raw)

    assert response.status_code in (200, 422)
    assert sqlite_client.get("/messages").status_code == 200


def test_a_body_over_the_limit_is_413_signed_or_not(small_client: Client) -> None:
    raw = to_bytes(payload(text="a" * 1024))

    assert deliver(small_client, raw).status_code == 413
    assert small_client.post("/webhook", data=raw).status_code == 413
    assert small_client.post("/webhook", data=raw).json == {"detail": "body too large"}


def test_a_body_at_the_limit_is_taken(small_client: Client) -> None:
    raw = to_bytes(payload()).ljust(1024)

    assert deliver(small_client, raw).status_code == 200
    assert deliver(small_client, raw + b" ").status_code == 413


def test_the_previous_secret_is_taken(sqlite_url: str) -> None:
    with application(sqlite_url, provider_secrets={"native": Secrets("new", SECRET)}) as rotating:
        assert deliver(rotating, payload()).status_code == 200


def test_messages_of_nothing_are_an_empty_page(client: Client) -> None:
    response = client.get("/messages")

    assert response.json == {"data": [], "total": 0, "limit": 50, "offset": 0, "next_cursor": None}


def test_a_message_is_shown_as_it_was_sent(client: Client) -> None:
    sent = payload(ts="2025-01-15T12:00:00.5+02:00", text="Grüße 😀", campaign=7)
    deliver(client, sent)

    listed = client.get("/messages").json["data"][0]  # type: ignore[index]
    single = client.get(f"/messages/{sent['message_id']}").json

    assert single == {**listed, "duplicates": {"count": 0, "last_at": None}, "receipts": []}
    received_at = listed.pop("received_at")
    assert received_at.endswith("Z")
    assert listed == {
        **{name: sent[name] for name in ("message_id", "from", "to", "text")},
        "ts": "2025-01-15T10:00:00.500000Z",
        "source": "native",
        "provider": "native",
        "type": "text",
        "extra": {"campaign": 7},
    }


def test_an_answer_is_json_in_utf_8_on_one_line(client: Client) -> None:
    deliver(client, payload(message_id="ä", text="Grüße 😀\n"))

    listed = client.get("/messages")

    assert listed.content_type == "application/json"
    assert listed.data.endswith(b',"total":1,"limit":50,"offset":0,"next_cursor":null}\n')
    assert '"message_id":"ä",'.encode() in listed.data
    assert listed.data.count(b"\n") == 1


def test_messages_are_filtered_searched_ordered_and_paged(client: Client) -> None:
    for number in range(5):
        deliver(
            client,
            payload(
                message_id=f"m{number}",
                sender=f"+{number % 2}",
                text=f"Größe {number}%",
                ts=f"2025-01-0{number + 1}T00:00:00+01:00",
            ),
        )

    assert ids(client.get("/messages?from=+1")) == ids(client.get("/messages?from=%2B1")) == ["m1", "m3"]
    assert ids(client.get("/messages?to=+4930123456&provider=native&limit=2&offset=1")) == ["m1", "m2"]
    assert ids(client.get("/messages?to=+1")) == ids(client.get("/messages?provider=twilio")) == []
    assert ids(client.get("/messages?since=2025-01-02T00:00:00+01:00&until=2025-01-03T00:00:00+01:00")) == ["m1"]
    assert ids(client.get("/messages?q=GR%C3%96SSE+3%25")) == ["m3"]
    assert ids(client.get("/messages?order=desc&limit=2")) == ["m4", "m3"]
    assert client.get("/messages?from=+1&limit=1").json["total"] == 2  # type: ignore[index]


def test_bad_parameters_are_422_naming_them(sqlite_client: Client) -> None:
    response = sqlite_client.get("/messages?limit=101&since=yesterday")

    assert response.status_code == 422
    assert response.json == {
        "detail": "invalid query parameters",
        "errors": {
            "limit": ["Must be greater than or equal to 1 and less than or equal to 100."],
            "since": ["Not an ISO 8601 timestamp with a time zone."],
        },
    }


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("/messages?form=%2B1", {"form": ["Unknown parameter. Did you mean 'from'?"]}),
        ("/export?form=%2B1", {"form": ["Unknown parameter. Did you mean 'from'?"]}),
        ("/messages?LIMIT=1", {"LIMIT": ["Unknown parameter. Did you mean 'limit'?"]}),
        ("/receipts?mesage_id=a", {"mesage_id": ["Unknown parameter. Did you mean 'message_id'?"]}),
        ("/feed?cursor=*", {"cursor": ["Unknown parameter. Known ones: after, limit, since, source, wait."]}),
        ("/quarantine?=1", {"": ["Unknown parameter. Known ones: cursor, limit, reason, source."]}),
        ("/stats/timeline?intervall=hour", {"intervall": ["Unknown parameter. Did you mean 'interval'?"]}),
        ("/stats?since=2025-01-15T10:00:00Z", {"since": ["Unknown parameter: there are none here."]}),
        ("/messages/a?limit=1", {"limit": ["Unknown parameter: there are none here."]}),
        ("/quarantine/1?body=1", {"body": ["Unknown parameter: there are none here."]}),
    ],
)
def test_an_unknown_parameter_of_a_read_is_422_naming_the_nearest(
    path: str, advice: dict[str, list[str]], sqlite_client: Client
) -> None:
    response = sqlite_client.get(path)

    assert response.status_code == 422
    assert response.json == {"detail": "invalid query parameters", "errors": advice}


def test_unknown_and_bad_parameters_are_reported_together(sqlite_client: Client) -> None:
    response = sqlite_client.get("/messages?form=%2B1&limit=0")

    assert list(response.json["errors"]) == ["limit", "form"]  # type: ignore[index]


def test_of_many_unknown_parameters_a_few_are_reported(sqlite_client: Client) -> None:
    response = sqlite_client.get("/messages?" + "&".join(f"a{number}" for number in range(500)))

    assert len(response.json["errors"]) == 10  # type: ignore[index]


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_health_and_metrics_take_any_parameter(path: str, sqlite_client: Client) -> None:
    assert sqlite_client.get(f"{path}?anything=1").status_code == 200


def test_a_delivery_takes_any_parameter(sqlite_client: Client) -> None:
    assert deliver(sqlite_client, payload(), "/webhook?anything=1").status_code == 200


@pytest.mark.parametrize(
    "path", ["/messages", "/receipts", "/quarantine", "/feed", "/export", "/stats", "/stats/timeline"]
)
def test_a_slash_at_the_end_of_a_list_changes_nothing(path: str, sqlite_client: Client) -> None:
    deliver(sqlite_client, payload())
    query = "?since=2025-01-15T00:00:00Z&until=2025-01-16T00:00:00Z" if path == "/stats/timeline" else ""

    with_slash, without = sqlite_client.get(f"{path}/{query}"), sqlite_client.get(path + query)

    assert (with_slash.status_code, with_slash.data) == (200, without.data)


@pytest.mark.parametrize(
    "message_id",
    [
        "a/b",
        "a//b",
        "/a",
        "//a",
        "a/",
        "a b",
        "%41",
        "%",
        "?a=b",
        "#a",
        ".",
        "..",
        "../stats",
        "a\n",
        "\n",
        "a\r\nb",
        "ä😀",
        "+",
        "a+b",
        "wamid.HBg==",
        " ",
        ";",
        "\\",
        "a\x7f",
    ],
)
def test_a_message_is_found_by_its_id_percent_encoded(message_id: str, sqlite_client: Client) -> None:
    deliver(sqlite_client, payload(message_id=message_id))

    response = sqlite_client.get(f"/messages/{quote(message_id, safe='')}")

    assert response.status_code == 200
    assert response.json["message_id"] == message_id  # type: ignore[index]


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
