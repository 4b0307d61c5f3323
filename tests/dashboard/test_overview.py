"""The overview as a browser without JavaScript gets it, and the cards of the sources."""

import json
import re
from html import unescape

import pytest
from flask.testing import FlaskClient

from tests.dashboard.pages import Elements, on_each_database, on_sqlite, rows
from tests.support.app import deliver
from tests.support.deliveries import SECRET, payload, signed, to_bytes
from tests.support.waiting import wait_until
from webhook_service.intake.take_in import INTAKE
from webhook_service.providers.native import sign

client = pytest.fixture(on_sqlite)
any_client = pytest.fixture(on_each_database)


def test_a_row_of_the_overview_leads_to_its_messages(any_client: FlaskClient) -> None:
    moments = ("2025-01-14T10:00:00Z", "2025-01-15T09:00:00Z", "2025-01-15T23:59:59Z", "2025-01-16T12:00:00Z")
    for number, ts in enumerate(moments):
        deliver(any_client, payload(message_id=f"m-{number}", ts=ts, sender="+1"))

    page = any_client.get("/dashboard/overview?since=2025-01-14T12:00:00Z&until=2025-01-17T00:00:00Z").text
    bars = re.findall(r'<th scope="row"><a href="([^"]+)">([^<]+)</a></th><td>(\d+)</td>', page)

    assert [(label, count) for _, label, count in bars] == [
        *(("2025-01-16", "1"), ("2025-01-15", "2"), ("2025-01-14", "0")),
    ]
    shown = [{url.rpartition("=")[2] for url in rows(any_client.get(unescape(url)).text)} for url, _, _ in bars]
    assert shown == [{"m-3"}, {"m-1", "m-2"}, set()]
    chart = json.loads(Elements(page).found_with("data-chart")["data-chart"] or "")
    assert (chart["messages"], chart["length"]) == ([0, 2, 1], 86400)
    assert "from=%2B1" in page


def stop_counting(client: FlaskClient) -> None:
    """Has all that came written down."""
    client.application.extensions[INTAKE].activity.stop()


def test_the_overview_tells_what_became_of_deliveries(any_client: FlaskClient) -> None:
    content = payload()
    for each in (content, content, {"message_id": "bad"}):
        deliver(any_client, each)
    any_client.post("/webhook", data=b"{}", headers={"X-Signature": sign(SECRET, b"{ }")})
    stop_counting(any_client)

    page = any_client.get("/dashboard/overview").text

    assert re.search(r'<li data-series="duplicate"><i></i>Duplicate <b>1</b>', page)
    assert re.search(r'<li data-series="conflict" class="zero"><i></i>Conflict <b>0</b>', page)
    assert '<span class="tag bad">refused</span>' in page
    assert re.search(r"<dt>Created</dt><dd>1</dd>", page)
    assert "Compare the secret here and at the provider" in page or "written anew" in page
    assert "no delivery yet" in page  # whatsapp


def test_the_overview_is_that_of_one_source(client: FlaskClient) -> None:
    deliver(client, payload(ts="2025-01-15T10:30:00Z"))
    span = "since=2025-01-15T00:00:00Z&until=2025-01-16T00:00:00Z"

    pages = {name: client.get(f"/dashboard/overview?{span}&source={name}").text for name in ("native", "whatsapp")}

    counts = {name: Elements(page).found_with("data-chart")["data-chart"] or "" for name, page in pages.items()}
    assert {name: json.loads(chart)["messages"] for name, chart in counts.items()} == {"native": [1], "whatsapp": [0]}
    assert 'data-messages="/dashboard/messages?source=native"' in pages["native"]
    assert "<option selected>native</option>" in pages["native"]


@pytest.mark.parametrize("interval", ["hour", "day"])
def test_the_overview_ends_where_time_does(interval: str, client: FlaskClient) -> None:
    query = f"interval={interval}&since=9999-12-31T00:00:00Z&until=9999-12-31T23:59:59Z"

    assert client.get(f"/dashboard/overview?{query}").status_code == 200


@pytest.mark.parametrize(
    ("query", "problem", "interval"),
    [
        ("since=yesterday", "<b>since</b>: Not an ISO 8601 timestamp", "day"),
        ("interval=week&since=2025-01-15T10:00", "<b>interval</b>: Must be one of: hour, day.", "day"),
        ("interval=hour&nothing=1", "<b>nothing</b>: Unknown parameter.", "hour"),
        (
            "interval=hour&since=2025-01-15T10:00&until=2025-12-01T00:00",
            "<b>since</b>: Must be at most 1,000 hours before until.",
            "hour",
        ),
    ],
)
def test_a_bad_range_is_told_on_the_overview_beside_what_was_entered(
    query: str, problem: str, interval: str, client: FlaskClient
) -> None:
    response = client.get(f"/dashboard/overview?{query}", headers={"Accept": "text/html"})

    assert response.status_code == 422
    assert problem in response.text
    assert '<details class="numbers" open>' in response.text
    assert f'<option value="{interval}" selected>' in response.text
    for name, value in re.findall(r"(since|until)=([^&]+)", query):
        assert re.search(rf'<input name="{name}"[^>]* value="{value}">', response.text)


def test_a_range_is_in_utc_as_a_browser_gives_it(client: FlaskClient) -> None:
    deliver(client, payload(ts="2025-01-15T10:30:00Z"))

    page = client.get("/dashboard/overview?interval=hour&since=2025-01-15T10:00&until=2025-01-15T12:00").text

    assert [count for _, count in re.findall(r'<th scope="row"><a [^>]+>([^<]+)</a></th><td>(\d+)', page)] == ["0", "1"]


@pytest.mark.parametrize("query", ["", "interval=hour", "interval=day"])
def test_the_overview_of_an_empty_inbox_says_so(query: str, client: FlaskClient) -> None:
    assert "No message yet" in client.get(f"/dashboard/overview?{query}").text


def test_a_card_shows_why_a_delivery_was_refused_until_one_is_taken(any_client: FlaskClient) -> None:
    raw = to_bytes(payload())
    any_client.post("/webhook", data=raw, headers=signed(raw + b"\n"))
    wait_until(lambda: "line end" in any_client.get("/dashboard/setup/native").text, "the hint on the card")
    assert "wrong_signature" in any_client.get("/dashboard/setup/native").text

    deliver(any_client, raw)

    assert "wrong_signature" not in any_client.get("/dashboard/setup/native").text


def test_a_card_waits_for_the_first_delivery_and_then_stops_asking(client: FlaskClient) -> None:
    assert 'hx-trigger="every 2s"' in client.get("/dashboard/setup/native").text

    deliver(client, payload())

    arrived = client.get("/dashboard/setup/native").text
    assert "Received" in arrived
    assert "hx-trigger" not in arrived
    assert client.get("/dashboard/setup/twilio").status_code == 404
    assert "TWILIO_AUTH_TOKEN" in client.get("/dashboard/setup").text
