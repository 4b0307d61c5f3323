"""Deliveries that are authentic and not understood are kept, counted and shown."""

import base64
import json
import tracemalloc
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.blueprints.quarantining import BAD, GOOD, Changing, quarantined, stored_ids, with_quarantine
from tests.support.app import application, deliver
from tests.support.deliveries import SECRET, payload
from tests.support.messages import MOMENT
from tests.support.whatsapp import a_message, a_status, a_value, of_values, post
from webhook_service.domain.deliveries import Contents, Delivery
from webhook_service.domain.errors import PayloadInvalid
from webhook_service.domain.messages import Message
from webhook_service.domain.quarantine import Quarantined
from webhook_service.domain.results import Reason
from webhook_service.domain.secrets import Secrets
from webhook_service.providers.native import Native
from webhook_service.storage.database import Database
from webhook_service.storage.queries.quarantine import add_quarantined

client = pytest.fixture(with_quarantine)


def test_a_bad_native_payload_is_refused_and_kept(client: FlaskClient) -> None:
    response = deliver(client, payload(ts="yesterday"))

    (entry,) = quarantined(client)
    assert response.status_code == 422
    assert (entry["provider"], entry["reason"], entry["count"]) == ("native", "invalid_fields", 1)
    assert list(entry["problems"]) == ["ts"]


def test_a_bad_item_of_whatsapp_is_kept_and_the_good_ones_are_stored(client: FlaskClient) -> None:
    response = post(client, of_values(a_value(messages=[BAD, GOOD])))

    (entry,) = quarantined(client)
    assert (response.status_code, response.get_json()) == (200, {"status": "ok"})
    assert stored_ids(client) == ["wamid.good"]
    assert list(entry["problems"]) == ["entry[0].changes[0].value.messages[0].from"]


def test_the_same_bytes_again_count_up_instead_of_piling_up(client: FlaskClient) -> None:
    for _ in range(3):
        post(client, of_values(a_value(messages=[BAD, GOOD])))

    (entry,) = quarantined(client)
    assert entry["count"] == 3
    assert entry["first_at"] < entry["last_at"]
    assert stored_ids(client) == ["wamid.good"]


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00", b'{"text":"Gr\xc3\xbc\xc3\x9fe"}', b""])
def test_the_bytes_are_kept_as_they_came(client: FlaskClient, raw: bytes) -> None:
    deliver(client, raw)

    (entry,) = quarantined(client)
    whole = client.get(f"/quarantine/{entry['id']}").get_json()
    assert base64.b64decode(whole["body_base64"]) == raw
    assert whole["size"] == len(raw)


def test_no_signature_is_kept(client: FlaskClient) -> None:
    deliver(client, b"{}")

    (entry,) = quarantined(client)
    whole = client.get(f"/quarantine/{entry['id']}").get_json()
    assert whole["headers"].keys() <= {"Content-Type", "User-Agent"}


def test_what_is_not_authentic_is_not_kept(client: FlaskClient) -> None:
    client.post("/webhook", data=b"nonsense", headers={"X-Signature": "0" * 64})

    assert quarantined(client) == []


def test_a_delivery_that_the_database_refuses_is_kept(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    Changing.understands = True
    parse = Native.parse

    def parse_without_recipient(self: Native, delivery: Delivery) -> Contents:
        (message,) = parse(self, delivery).messages
        broken: Any = None
        return Contents((Message(**{**_fields(message), "recipient": broken}),))

    monkeypatch.setattr(Native, "parse", parse_without_recipient)

    response = deliver(client, payload(), path="/webhook/changing")

    (entry,) = quarantined(client)
    assert response.status_code == 422
    assert entry["reason"] == "refused_by_database"
    assert stored_ids(client) == []


def _fields(message: Message) -> dict[str, Any]:
    return {name: getattr(message, name) for name in Message.__dataclass_fields__}


def test_pages_go_on_where_the_last_ended(client: FlaskClient) -> None:
    for number in range(5):
        deliver(client, f"nonsense {number}".encode())
    seen: list[int] = []
    query = "?limit=2"

    while query:
        page = client.get(f"/quarantine{query}").get_json()
        seen += [entry["id"] for entry in page["data"]]
        query = f"?limit=2&cursor={page['next_cursor']}" if page["next_cursor"] else ""

    assert len(seen) == 5
    assert seen == sorted(set(seen))


def test_a_list_reads_no_body(client: FlaskClient, database: Database) -> None:
    megabyte = 1_000_000
    with database.transaction() as transaction:
        for at in range(20):
            body = b"%d" % (at % 10) * megabyte + b"%d" % at
            add_quarantined(
                transaction, Quarantined("native", body, {}, "/webhook", "not_json", {"body": ["Bad."]}, MOMENT)
            )
    quarantined(client)

    tracemalloc.start()
    listed = quarantined(client)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert [entry["size"] for entry in listed] == [megabyte + len(str(at)) for at in range(20)]
    assert most < megabyte


@pytest.mark.parametrize("path", ["/quarantine/7", "/quarantine/99999999999999999999999", "/quarantine/x"])
def test_what_is_not_there_is_404(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404
    assert client.post(f"{path}/replay").status_code == 404


def test_a_gauge_tells_how_many_there_are(client: FlaskClient) -> None:
    deliver(client, b"{}")
    deliver(client, b"[]")

    metrics = client.get("/metrics").text

    assert 'quarantine_deliveries{provider="native",source="native"} 2.0' in metrics
    assert 'quarantine_deliveries{provider="whatsapp",source="whatsapp"} 0.0' in metrics


def test_all_items_of_a_delivery_have_an_outcome_of_their_own(client: FlaskClient) -> None:
    post(client, of_values(a_value(messages=[a_message("wamid.1")])))

    post(
        client,
        of_values(a_value(messages=[a_message("wamid.1"), a_message("wamid.2")], statuses=[a_status("wamid.0")])),
    )

    metrics = client.get("/metrics").text
    assert 'webhook_items_total{kind="message",outcome="created",provider="whatsapp",source="whatsapp"} 2.0' in metrics
    assert (
        'webhook_items_total{kind="message",outcome="duplicate",provider="whatsapp",source="whatsapp"} 1.0' in metrics
    )
    assert 'webhook_items_total{kind="receipt",outcome="created",provider="whatsapp",source="whatsapp"} 1.0' in metrics


def test_a_delivery_that_is_sent_again_creates_nothing(client: FlaskClient) -> None:
    delivery = of_values(a_value(messages=[a_message("wamid.1"), a_message("wamid.2")], statuses=[a_status("wamid.0")]))
    post(client, delivery)

    post(client, delivery)

    assert stored_ids(client) == ["wamid.1", "wamid.2"]
    assert len(client.get("/receipts").get_json()["data"]) == 1


def test_quarantined_problems_are_json_that_anyone_can_read(client: FlaskClient) -> None:
    deliver(client, b"not json")

    (entry,) = quarantined(client)
    assert json.loads(json.dumps(entry["problems"])) == {
        "body": ["Not valid JSON: Expecting value at line 1, column 1."]
    }


def test_a_refusal_names_its_reason_in_the_metrics(client: FlaskClient) -> None:
    client.post("/webhook", data=b"{}", headers={"X-Signature": "0" * 64})
    client.post("/webhook", data=b"{}")

    metrics = client.get("/metrics").text
    assert (
        f'webhook_refusals_total{{provider="native",reason="{Reason.WRONG_SIGNATURE}",source="native"}} 1.0' in metrics
    )
    assert (
        f'webhook_refusals_total{{provider="native",reason="{Reason.MISSING_SIGNATURE}",source="native"}} 1.0'
        in metrics
    )


def test_the_metrics_tell_which_secret_still_signs(database_url: str) -> None:
    secrets = {Native.name: Secrets("the-new-one", SECRET)}
    with application(database_url, provider_secrets=secrets) as client:
        deliver(client, payload())

        metrics = client.get("/metrics").text

    assert 'webhook_signatures_total{provider="native",secret="previous",source="native"} 1.0' in metrics
    assert 'secret="current"' not in metrics


def test_a_payload_error_is_an_error_whatever_its_provider_says(client: FlaskClient) -> None:
    Changing.fails_with = type("Quirk", (PayloadInvalid,), {"__init__": _as_unknown_event})

    response = deliver(client, payload(), path="/webhook/changing")

    assert response.get_json()["errors"] == {"event": ["Unknown."]}


def _as_unknown_event(self: PayloadInvalid, _text: str) -> None:
    PayloadInvalid.__init__(self, Reason.UNKNOWN_EVENT, {"event": ["Unknown."]})


def test_the_list_is_of_a_reason_and_its_cursor_too(client: FlaskClient) -> None:
    for number in range(2):
        deliver(client, payload(message_id=f"m-{number}", ts="yesterday"))
    deliver(client, b"no JSON")

    page = client.get("/quarantine?reason=invalid_fields&limit=1").get_json()

    assert [entry["reason"] for entry in page["data"]] == ["invalid_fields"]
    assert len(client.get(f"/quarantine?reason=invalid_fields&cursor={page['next_cursor']}").get_json()["data"]) == 1
    assert client.get(f"/quarantine?cursor={page['next_cursor']}").status_code == 422
    assert client.get("/quarantine?reason=nothing").get_json()["data"] == []
