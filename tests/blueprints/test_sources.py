"""Sources over HTTP: declared in a file, each at its address, told apart in everything that is kept."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.app import application
from tests.support.deliveries import SECRET, payload, signed, to_bytes
from tests.support.sources import declare
from tests.support.stored import opened
from tests.support.waiting import wait_until
from tests.support.whatsapp import a_message, a_status, a_value, of_values
from webhook_service.domain.activity import Activity, DeliveryOutcome
from webhook_service.providers import whatsapp
from webhook_service.storage.queries.activity import add_activity

CONFIGURATION = """
[sources.shop]
provider = "native"
secrets = [{env = "SHOP", label = "2026"}, {env = "OLD", until = 2020-01-01}]

[sources.desk]
provider = "native"
secrets = [{env = "DESK"}]

[sources.meta]
provider = "whatsapp"
secrets = [{env = "APP", label = "app-one"}, {env = "OTHER_APP", label = "app-two"}]
options = {verify_token = {env = "VERIFY"}}
route = {by = "metadata.phone_number_id", to = {"111" = "berlin", "222" = "paris"}}

[sources.berlin]
provider = "whatsapp"

[sources.paris]
provider = "whatsapp"
"""
ENVIRON = {name: f"secret of {name}" for name in ("SHOP", "OLD", "DESK", "APP", "OTHER_APP", "VERIFY")}


@pytest.fixture
def client(database_url: str, tmp_path: Path) -> Iterator[FlaskClient]:
    configuration, problems = declare(tmp_path, CONFIGURATION, ENVIRON)
    assert problems == []
    with application(database_url, configuration=configuration) as made:
        yield made


def send(client: FlaskClient, source: str, secret: str, **fields: Any) -> int:
    raw = to_bytes(payload(**fields))
    path = "/webhook" if source == "native" else f"/webhook/{source}"
    return client.post(path, data=raw, headers=signed(raw, secret)).status_code


def send_whatsapp(client: FlaskClient, *values: dict[str, Any], secret: str = "APP") -> int:
    raw = to_bytes(of_values(*values))
    signature = "sha256=" + whatsapp.sign(ENVIRON[secret], raw).hex()
    return client.post("/webhook/meta", data=raw, headers={whatsapp.SIGNATURE_HEADER: signature}).status_code


def of_number(number: str, **items: Any) -> dict[str, Any]:
    return {**a_value(**items), "metadata": {"display_phone_number": "493012", "phone_number_id": number}}


def ids(client: FlaskClient, path: str) -> list[str]:
    return [message["message_id"] for message in client.get(path).get_json()["data"]]


def test_a_message_says_its_source_beside_its_provider(client: FlaskClient) -> None:
    assert send(client, "shop", ENVIRON["SHOP"], message_id="a") == 200
    assert send(client, "native", SECRET, message_id="b") == 200

    shown = {message["message_id"]: message for message in client.get("/messages").get_json()["data"]}
    assert (shown["a"]["source"], shown["a"]["provider"]) == ("shop", "native")
    assert (shown["b"]["source"], shown["b"]["provider"]) == ("native", "native")
    assert client.get("/messages/a").get_json()["source"] == "shop"
    assert client.get("/feed").get_json()["data"][0]["source"] == "shop"


def test_a_secret_of_one_source_opens_no_other(client: FlaskClient) -> None:
    assert send(client, "desk", ENVIRON["SHOP"]) == 401
    assert send(client, "native", ENVIRON["SHOP"]) == 401
    assert send(client, "shop", SECRET) == 401


def test_every_list_can_be_narrowed_to_a_source_or_to_all_of_a_provider(client: FlaskClient) -> None:
    for source, secret in (("shop", ENVIRON["SHOP"]), ("desk", ENVIRON["DESK"]), ("native", SECRET)):
        for number in range(2):
            send(client, source, secret, message_id=f"{source}{number}")

    assert ids(client, "/messages?source=shop") == ["shop0", "shop1"]
    assert ids(client, "/messages?source=native") == ["native0", "native1"]
    assert len(ids(client, "/messages?provider=native")) == 6
    assert client.get("/messages?provider=native").get_json()["total"] == 6
    assert ids(client, "/messages?source=desk&provider=native") == ["desk0", "desk1"]
    assert ids(client, "/messages?source=desk&provider=whatsapp") == []
    assert ids(client, "/feed?source=desk") == ["desk0", "desk1"]
    assert client.get("/export?source=desk").text.count("\n") == 2


def test_the_pages_of_a_source_follow_each_other(client: FlaskClient) -> None:
    for number in range(3):
        send(client, "shop", ENVIRON["SHOP"], message_id=f"shop{number}")
        send(client, "desk", ENVIRON["DESK"], message_id=f"desk{number}")

    first = client.get("/messages?source=shop&limit=2").get_json()
    rest = client.get(f"/messages?source=shop&limit=2&cursor={first['next_cursor']}").get_json()

    assert [message["message_id"] for message in first["data"] + rest["data"]] == ["shop0", "shop1", "shop2"]
    assert client.get(f"/messages?source=desk&cursor={first['next_cursor']}").status_code == 422


def test_the_feed_of_a_source_goes_on_where_it_ended(client: FlaskClient) -> None:
    send(client, "shop", ENVIRON["SHOP"], message_id="shop0")
    send(client, "desk", ENVIRON["DESK"], message_id="desk0")
    first = client.get("/feed?source=shop").get_json()
    send(client, "shop", ENVIRON["SHOP"], message_id="shop1")

    second = client.get(f"/feed?source=shop&after={first['next']}").get_json()

    assert [message["message_id"] for message in second["data"]] == ["shop1"]
    assert client.get(f"/feed?source=shop&after={second['next']}").get_json()["next"] == second["next"]


def test_no_source_can_silence_another_by_claiming_its_message_ids(client: FlaskClient) -> None:
    same = {"message_id": "a", "ts": "2025-01-15T10:00:00Z", "text": "Hello"}
    send(client, "shop", ENVIRON["SHOP"], **same)

    assert send(client, "desk", ENVIRON["DESK"], **same) == 200

    (kept,) = client.get("/quarantine").get_json()["data"]
    assert (kept["source"], kept["reason"], kept["problems"]) == ("desk", "id_conflict", {"a": ["id_conflict"]})
    replayed = client.post(f"/quarantine/{kept['id']}/replay?rename=true")
    assert replayed.get_json()["created"] == 1
    assert [m["source"] for m in client.get("/messages").get_json()["data"]] == ["shop", "desk"]


def test_what_a_source_repeats_is_a_duplicate(client: FlaskClient) -> None:
    same = {"message_id": "a", "ts": "2025-01-15T10:00:00Z"}
    send(client, "shop", ENVIRON["SHOP"], **same)

    assert send(client, "shop", ENVIRON["SHOP"], **same) == 200
    assert client.get("/quarantine").get_json()["data"] == []


def test_the_same_bytes_from_two_sources_are_two_deliveries_in_quarantine(client: FlaskClient) -> None:
    for source, secret in (("shop", "SHOP"), ("desk", "DESK")):
        raw = b'{"no":"message"}'
        client.post(f"/webhook/{source}", data=raw, headers=signed(raw, ENVIRON[secret]))

    listed = client.get("/quarantine").get_json()["data"]
    assert [(kept["source"], kept["provider"], kept["count"]) for kept in listed] == [
        ("shop", "native", 1),
        ("desk", "native", 1),
    ]
    assert [kept["source"] for kept in client.get("/quarantine?source=desk").get_json()["data"]] == ["desk"]
    assert 'quarantine_deliveries{provider="native",source="desk"} 1.0' in client.get("/metrics").text


def test_a_secret_past_its_time_is_refused_and_the_metrics_say_which_one_signs(client: FlaskClient) -> None:
    assert send(client, "shop", ENVIRON["OLD"]) == 401
    assert send(client, "shop", ENVIRON["SHOP"]) == 200

    metrics = client.get("/metrics").text
    assert 'webhook_refusals_total{provider="native",reason="expired_secret",source="shop"} 1.0' in metrics
    assert 'webhook_signatures_total{provider="native",secret="2026",source="shop"} 1.0' in metrics


def test_each_number_behind_one_callback_is_a_source(client: FlaskClient) -> None:
    values = [
        of_number(number, messages=[a_message(f"wamid.{number}")], statuses=[a_status(f"wamid.out.{number}")])
        for number in ("111", "222", "333")
    ]

    assert send_whatsapp(client, *values) == 200

    listed = client.get("/messages").get_json()["data"]
    assert {message["message_id"]: message["source"] for message in listed} == {
        "wamid.111": "berlin",
        "wamid.222": "paris",
        "wamid.333": "meta",
    }
    assert {message["provider"] for message in listed} == {"whatsapp"}
    receipts = client.get("/receipts").get_json()["data"]
    assert [receipt["source"] for receipt in receipts] == ["berlin", "paris", "meta"]
    assert len(client.get("/receipts?source=paris").get_json()["data"]) == 1


def test_several_apps_share_one_address(client: FlaskClient) -> None:
    assert send_whatsapp(client, of_number("111", messages=[a_message("one")])) == 200
    assert send_whatsapp(client, of_number("111", messages=[a_message("two")]), secret="OTHER_APP") == 200

    metrics = client.get("/metrics").text
    for app in ("app-one", "app-two"):
        assert f'webhook_signatures_total{{provider="whatsapp",secret="{app}",source="meta"}} 1.0' in metrics


def test_a_source_answers_the_handshake_of_its_provider(client: FlaskClient) -> None:
    asked = f"hub.mode=subscribe&hub.verify_token={ENVIRON['VERIFY']}&hub.challenge=42"

    assert client.get(f"/webhook/meta?{asked}").text == "42"
    assert client.get(f"/webhook/shop?{asked}").status_code == 405
    assert client.get(f"/webhook/unknown?{asked}").status_code == 404


def test_an_export_and_an_import_keep_the_source(client: FlaskClient) -> None:
    send(client, "shop", ENVIRON["SHOP"], message_id="a")

    assert '"source":"shop"' in client.get("/export").text
    header, row = client.get("/export?format=csv").text.splitlines()
    assert header.split(",")[-1] == "source"
    assert row.split(",")[-1] == "shop"


def source(client: FlaskClient, name: str) -> dict[str, Any]:
    """What ``GET /sources`` says of a source."""
    return next(each for each in client.get("/sources").get_json()["data"] if each["name"] == name)


def test_the_list_of_sources_says_what_each_delivered_and_how_to_set_it_up(client: FlaskClient) -> None:
    now = datetime.now(UTC).isoformat()
    send(client, "shop", ENVIRON["SHOP"], ts=now)
    send(client, "shop", ENVIRON["SHOP"], message_id="")

    send(client, "shop", "a wrong secret")
    wait_until(lambda: source(client, "shop")["last_day"]["refused"] == 1, "the deliveries to be counted")

    listed = client.get("/sources").get_json()["data"]
    assert [each["name"] for each in listed] == ["berlin", "desk", "meta", "native", "paris", "shop"]
    shop = source(client, "shop")
    assert (shop["provider"], shop["address"]) == ("native", "/webhook/shop")
    assert shop["last_delivery_at"] >= now[:19]
    assert {outcome: count for outcome, count in shop["last_day"].items() if count} == {
        "created": 1,
        "quarantined": 1,
        "refused": 1,
    }
    assert source(client, "desk")["last_delivery_at"] is None
    assert source(client, "meta")["setup"]["address_field"] == "Callback URL"
    assert source(client, "native")["address"] == "/webhook"


def test_the_last_delivery_of_a_source_is_the_latest_with_a_right_signature(
    client: FlaskClient, database_url: str
) -> None:
    long_ago = datetime(2025, 1, 15, 10, tzinfo=UTC)
    later = long_ago + timedelta(hours=1)
    with opened(database_url) as database, database.transaction(5) as transaction:
        add_activity(
            transaction,
            [
                Activity("shop", DeliveryOutcome.DUPLICATE, long_ago, 1, long_ago),
                Activity("shop", DeliveryOutcome.REFUSED, later, 1, later),
            ],
        )

    assert source(client, "shop")["last_delivery_at"] == "2025-01-15T10:00:00Z"
    assert not any(source(client, "shop")["last_day"].values())


def test_a_delivery_counts_for_each_source_that_its_items_are_routed_to(client: FlaskClient) -> None:
    assert send_whatsapp(client, of_number("111", messages=[a_message("a")], statuses=[a_status("b")])) == 200
    assert send_whatsapp(client, of_number("333", messages=[a_message("c")])) == 200

    wait_until(lambda: source(client, "meta")["last_day"]["created"] == 2, "the deliveries to be counted")

    assert source(client, "berlin")["last_day"]["routed"] == 1
    assert source(client, "berlin")["last_delivery_at"] is not None
    assert source(client, "paris")["last_delivery_at"] is None


def test_the_list_of_sources_says_which_secret_signs_and_which_may_go(client: FlaskClient) -> None:
    assert [secret["may_go"] for secret in source(client, "meta")["secrets"]] == [False, False]

    send_whatsapp(client, of_number("111", messages=[a_message("one")]))

    one, two = source(client, "meta")["secrets"]
    assert (one["label"], one["may_go"], two["label"], two["may_go"]) == ("app-one", False, "app-two", True)
    assert one["last_matched_at"] is not None
    assert two["last_matched_at"] is None
    send_whatsapp(client, of_number("111", messages=[a_message("two")]), secret="OTHER_APP")
    assert [secret["may_go"] for secret in source(client, "meta")["secrets"]] == [False, False]
    assert [secret["may_go"] for secret in source(client, "shop")["secrets"]] == [False, True]  # past its time


def test_the_list_of_sources_shows_no_secret(client: FlaskClient) -> None:
    shown = client.get("/sources").text

    assert not [secret for secret in (SECRET, *ENVIRON.values()) if secret in shown]
