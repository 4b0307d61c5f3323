"""The answers about messages, word by word: of Flask alone, of the service's worker, and of gunicorn's own."""

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from werkzeug.test import Client, TestResponse

from tests.blueprints.contract_clients import EVERYWHERE, ON_SQLITE, served
from tests.support.app import application, deliver
from tests.support.deliveries import SECRET, payload, signed, to_bytes
from webhook_service.domain.secrets import Secrets

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
