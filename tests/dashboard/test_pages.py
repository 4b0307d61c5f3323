"""Pages as a browser without JavaScript gets them."""

import gzip
import json
import re
import shlex
from collections.abc import Iterator
from contextlib import AbstractContextManager
from html import unescape
from html.parser import HTMLParser
from time import monotonic
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from tests.dashboard.corpus import HOSTILE_TEXTS
from tests.support.app import application, deliver
from tests.support.deliveries import SECRET, payload, signed, to_bytes
from tests.support.messages import message
from tests.support.stored import accept, opened
from tests.support.waiting import wait_until
from tests.support.whatsapp import a_status, a_value, of_values, post
from webhook_service.dashboard.assets import asset_path, assets
from webhook_service.dashboard.messages import MOST_FOLLOWED
from webhook_service.dashboard.quarantine import RAW_SHOWN, view_raw
from webhook_service.domain.deliveries import Contents, Delivery
from webhook_service.domain.errors import PayloadInvalid
from webhook_service.domain.results import Reason
from webhook_service.domain.secrets import Secrets
from webhook_service.intake.take_in import INTAKE
from webhook_service.providers.native import Native, sign
from webhook_service.providers.whatsapp import WhatsApp

OWN = {"Sec-Fetch-Site": "same-origin"}


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def found_with(self, name: str) -> dict[str, str | None]:
        """The attributes of the first element that has this one."""
        return next(attrs for _, attrs in self.found if name in attrs)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture
def client(sqlite_url: str) -> Iterator[FlaskClient]:
    with _application(sqlite_url) as made:
        yield made


@pytest.fixture
def any_client(database_url: str) -> Iterator[FlaskClient]:
    """The same on each kind of database, for what the database has a part in."""
    with _application(database_url) as made:
        yield made


def _application(url: str) -> AbstractContextManager[FlaskClient]:
    secrets = {Native.name: Secrets(SECRET), WhatsApp.name: Secrets(SECRET)}
    options = {Native.name: {}, WhatsApp.name: {"WHATSAPP_VERIFY_TOKEN": "token"}}
    return application(url, provider_secrets=secrets, provider_options=options)


def rows(page: str) -> list[str]:
    """The addresses behind the rows of a list."""
    return [attrs["href"] or "" for tag, attrs in Elements(page).found if tag == "a" and attrs.get("class") == "row"]


def test_the_root_leads_to_the_dashboard_and_on_to_what_is_wanted_first(client: FlaskClient) -> None:
    assert client.get("/").headers["Location"] == "/dashboard/"
    assert client.get("/dashboard/").headers["Location"] == "/dashboard/setup"

    client.post("/dashboard/setup/native/test", headers=OWN)
    assert client.get("/dashboard/").headers["Location"] == "/dashboard/setup"

    deliver(client, payload())

    assert client.get("/dashboard/").headers["Location"] == "/dashboard/messages"


def test_the_list_has_the_newest_first_and_pages_by_a_link(client: FlaskClient) -> None:
    for number in range(60):
        deliver(client, payload(message_id=f"m-{number:02}", ts=f"2025-01-15T10:00:{number:02}Z"))

    first = client.get("/dashboard/messages").text
    (more,) = re.findall(r'<a href="([^"]+)">Older messages', first)
    second = client.get(unescape(more)).text

    assert [url.rpartition("=")[2] for url in rows(first) + rows(second)] == [f"m-{n:02}" for n in range(59, -1, -1)]
    assert "Older messages" not in second


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("from=%2B1", {"a"}),
        ("from=%20%2B1%09&since=%20&q=+hello+", {"a"}),
        ("to=%2B2", {"b"}),
        ("q=HELLO", {"a", "b"}),
        ("since=2025-01-15T10:00", {"b", "c"}),
        ("until=2025-01-15T10:00:00Z", {"a"}),
        ("provider=native", {"a", "b", "c"}),
        ("provider=&from=&to=&since=&until=&q=&message=", {"a", "b", "c"}),
        ("provider=twilio", set()),
        ("type=text", {"a", "b", "c"}),
        ("type=image", set()),
    ],
)
def test_filters_are_in_the_address(query: str, expected: set[str], client: FlaskClient) -> None:
    deliver(client, payload(message_id="a", sender="+1", ts="2025-01-15T09:00:00Z"))
    deliver(client, payload(message_id="b", recipient="+2"))
    deliver(client, payload(message_id="c", text="Bye"))

    page = client.get(f"/dashboard/messages?{query}").text

    assert {url.rpartition("=")[2] for url in rows(page)} == expected


def test_a_bad_filter_is_named_beside_what_was_entered(client: FlaskClient) -> None:
    response = client.get("/dashboard/messages?since=yesterday")

    assert response.status_code == 422
    assert "Not an ISO 8601 timestamp" in response.text
    assert 'value="yesterday"' in response.text


@pytest.mark.parametrize("message_id", ["a/b", "../x", "?#&=+ %2F", "é\u202e", "<b>", "new", "m" * 255])
def test_any_id_can_be_opened(message_id: str, client: FlaskClient) -> None:
    deliver(client, payload(message_id=message_id, text="Found", note={"deep": [1, None, "two"]}))

    (url,) = rows(client.get("/dashboard/messages").text)
    response = client.get(url)

    assert response.status_code == 200
    assert f'class="id">{message_id.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}<' in response.text
    assert "two" in response.text


def test_a_message_that_is_not_there_is_said_so(client: FlaskClient) -> None:
    response = client.get("/dashboard/messages?message=%3Cb%3E")

    assert response.status_code == 404
    assert "There is no message with the ID" in response.text


def test_receipts_are_found_by_the_id_of_an_outgoing_message(client: FlaskClient) -> None:
    for status, at in (("delivered", "1736935202"), ("sent", "1736935201")):
        post(client, of_values(a_value(statuses=[a_status("wamid.out", status, timestamp=at)])))

    page = client.get("/dashboard/messages?message=wamid.out").text

    assert re.search(r'class="tag good"><bdi>delivered</bdi>', page)
    assert re.findall("Copy (?:ID|link|curl)", page) == ["Copy ID", "Copy link", "Copy curl"]
    (command,) = re.findall(r'aria-label="Command">([^<]+)<', page)
    url = shlex.split(unescape(command))[-1].removeprefix("http://localhost")
    assert [receipt["status"] for receipt in client.get(url).get_json()["data"]] == ["delivered", "sent"]
    assert page.index("<b><bdi>sent</bdi>") < page.index("<b><bdi>delivered</bdi>")


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_a_text_is_only_ever_text(text: str, client: FlaskClient) -> None:
    deliver(client, payload(message_id=text[:200], text=text, **{text[:100]: text}))
    known = client.get("/dashboard/messages?q=nothing").text

    page = client.get(f"/dashboard/messages?message={quote(text[:200])}&q={quote(text)}").text

    allowed = {name for _, attrs in Elements(known).found for name in attrs} | {
        "data-copy",
        "data-copy-url",
        "aria-current",
    }
    allowed |= {"hx-get", "hx-target", "hx-push-url", "datetime", "dir", "open", "aria-labelledby", "aria-controls"}
    found = Elements(page).found
    assert {name for _, attrs in found for name in attrs} <= allowed
    assert sum(tag == "script" for tag, _ in found) == 2
    assert not [attrs for tag, attrs in found if str(attrs.get("href", "")).startswith(("tel:", "javascript:", "http"))]
    assert text in unescape(page)


def test_no_page_has_script_or_style_in_it(client: FlaskClient) -> None:
    deliver(client, {"message_id": "bad"})
    for path in ("messages", "overview", "quarantine", "quarantine/1", "setup", "sign-in"):
        for tag, attrs in Elements(client.get(f"/dashboard/{path}").text).found:
            assert tag != "style"
            assert tag != "script" or attrs.get("src")
            assert not [name for name in attrs if name == "style" or name.startswith("on")]


def test_an_idle_look_for_new_messages_has_no_body(client: FlaskClient) -> None:
    deliver(client, payload(text="Hello"))
    page = client.get("/dashboard/messages?q=hello").text
    (after,) = re.findall(r'data-after="([^"]+)"', page)
    assert client.get(f"/dashboard/live?after={after}").status_code == 204

    deliver(client, payload(message_id="m1", text="HELLO again", ts="2025-01-15T10:00:00.5Z"))
    deliver(client, payload(text="Bye"))

    told = client.get(f"/dashboard/live?after={after}&q=hello").get_json()
    assert told["messages"] == [{"message_id": "m1", "ts": "2025-01-15T10:00:00.500000Z"}]
    assert not told["may_be_more"]
    assert client.get(f"/dashboard/live?after={told['after']}").status_code == 204
    asked = monotonic()
    assert client.get(f"/dashboard/live?after={told['after']}&wait=1").status_code == 204
    assert monotonic() - asked >= 1


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 2),
        ("from=%2B1", 1),
        ("to=%2B2", 1),
        ("provider=twilio", 0),
        ("type=text", 2),
        ("type=image", 0),
        ("since=2025-01-15T10:00:00Z", 1),
        ("q=%25", 0),
    ],
)
def test_what_is_announced_is_what_the_list_would_show(query: str, count: int, any_client: FlaskClient) -> None:
    deliver(any_client, payload(sender="+1", ts="2025-01-15T09:59:59Z"))
    deliver(any_client, payload(recipient="+2", text=None))

    assert len(any_client.get(f"/dashboard/live?{query}").get_json()["messages"]) == count
    assert len(rows(any_client.get(f"/dashboard/messages?{query}").text)) == count


@pytest.mark.parametrize("query", ["message=%00", "message=a%00b", "q=%00", "from=%00"])
def test_a_text_that_no_database_takes_is_refused(query: str, any_client: FlaskClient) -> None:
    response = any_client.get(f"/dashboard/messages?{query}")

    assert response.status_code == 422
    assert "Must not contain NUL" in response.text


def test_assets_keep_their_address_for_as_long_as_their_content(client: FlaskClient) -> None:
    for name, asset in assets().items():
        url = f"/dashboard/static/{asset_path(name)}"
        plain, compressed = client.get(url), client.get(url, headers={"Accept-Encoding": "gzip"})

        assert plain.data == asset.content == gzip.decompress(compressed.data)
        assert "immutable" in plain.headers["Cache-Control"]
        assert client.get(f"/dashboard/static/0000/{name}").status_code == 404
    assert (
        client.get(f"/dashboard/static/{asset_path('dashboard.css').partition('/')[0]}/../pages.py").status_code == 404
    )


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
    client.application.extensions[INTAKE].counting.stop()


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


def test_a_page_of_an_error_says_what_is_wrong_with_each_parameter(client: FlaskClient) -> None:
    answer = client.get("/dashboard/quarantine?limit=0&reazon=odd", headers={"Accept": "text/html"})

    assert answer.status_code == 422
    assert "Invalid query parameters. limit: Must be greater than" in answer.text
    assert "reazon: Unknown parameter. Did you mean" in answer.text


def test_a_range_is_in_utc_as_a_browser_gives_it(client: FlaskClient) -> None:
    deliver(client, payload(ts="2025-01-15T10:30:00Z"))

    page = client.get("/dashboard/overview?interval=hour&since=2025-01-15T10:00&until=2025-01-15T12:00").text

    assert [count for _, count in re.findall(r'<th scope="row"><a [^>]+>([^<]+)</a></th><td>(\d+)', page)] == ["0", "1"]


@pytest.mark.parametrize("query", ["", "interval=hour", "interval=day"])
def test_the_overview_of_an_empty_inbox_says_so(query: str, client: FlaskClient) -> None:
    assert "No message yet" in client.get(f"/dashboard/overview?{query}").text


def test_the_quarantine_of_one_source_is_listed_and_replayed_alone(client: FlaskClient) -> None:
    deliver(client, {"message_id": "bad"})

    others = client.get("/dashboard/quarantine?source=whatsapp").text
    own = client.get("/dashboard/quarantine?source=native").text

    assert "/dashboard/quarantine/1" not in others
    assert "/dashboard/quarantine/1" in own
    assert "/dashboard/quarantine/replay?source=native" in unescape(own)
    replayed = client.post("/dashboard/quarantine/replay?source=whatsapp", headers=OWN).text
    assert "0 left the quarantine" in replayed
    assert "0 still in quarantine" in replayed


def test_a_quarantined_delivery_is_shown_tried_again_and_dropped(client: FlaskClient) -> None:
    deliver(client, {"message_id": "<bad>"})

    assert "invalid_fields" in client.get("/dashboard/quarantine").text
    shown = client.get("/dashboard/quarantine/1").text
    assert "&lt;bad&gt;" in unescape(shown).replace("<bad>", "&lt;bad&gt;")
    assert "Still in quarantine: invalid_fields" in client.post("/dashboard/quarantine/1/replay", headers=OWN).text
    assert (
        "0 left the quarantine" in client.post("/dashboard/quarantine/replay?reason=invalid_fields", headers=OWN).text
    )
    assert "Dropped" in client.post("/dashboard/quarantine/1/drop", headers=OWN).text
    assert client.get("/dashboard/quarantine/1").status_code == 404
    assert "Nothing is in quarantine" in client.get("/dashboard/quarantine").text


def test_a_message_in_conflict_is_stored_under_a_new_id_on_request(client: FlaskClient) -> None:
    deliver(client, payload(message_id="m1", text="first"))
    deliver(client, payload(message_id="m1", text="second"))

    replayed = client.post("/dashboard/quarantine/1/replay", headers=OWN).text
    (renaming,) = re.findall(r'hx-post="([^"]*rename=true)"', replayed)
    renamed = client.post(renaming, headers=OWN).text

    assert "Still in quarantine: id_conflict. m1: id_conflict 0 created, 0 duplicate, 1 conflict." in replayed
    assert "All of it is stored: 1 created, 0 duplicate, 0 conflict. It left the quarantine." in renamed
    assert {message["text"] for message in client.get("/messages").get_json()["data"]} == {"first", "second"}
    assert client.get("/quarantine").get_json()["data"] == []


def test_a_message_shows_its_conflicts(any_client: FlaskClient) -> None:
    for message_id, text in (("m1", "first"), ("m1", "second"), ("m2", "first"), ("m2", "second")):
        deliver(any_client, payload(message_id=message_id, text=text))

    page = any_client.get("/dashboard/messages?message=m1").text

    assert re.findall(r'<a href="/dashboard/quarantine/(\d)">Delivery', page) == ["1"]
    assert "Conflicts" not in any_client.get("/dashboard/messages?message=m3").text


def test_a_message_shows_how_often_it_came_again(any_client: FlaskClient) -> None:
    for message_id in ("m1", "m1", "m1", "m2"):
        deliver(any_client, payload(message_id=message_id))
    any_client.application.extensions[INTAKE].counting.stop()

    page = any_client.get("/dashboard/messages?message=m1").text

    assert re.search(r"<dt>Duplicates</dt><dd>2, last <time", page)
    assert "Duplicates" not in any_client.get("/dashboard/messages?message=m2").text


def test_what_is_listed_can_be_exported(client: FlaskClient) -> None:
    deliver(client, payload(message_id="a", text="one", ts="2025-01-15T10:00:00Z"))
    deliver(client, payload(message_id="b", text="two", ts="2025-01-15T11:00:00Z"))
    page = client.get("/dashboard/messages?since=2025-01-15T10:30&q=o").text
    links = [unescape(url) for url in re.findall(r'href="(/dashboard/export[^"]+)"', page)]

    csv, ndjson = (client.get(url) for url in links)

    assert csv.text.splitlines()[1].startswith("b,")
    assert [json.loads(line)["message_id"] for line in ndjson.text.splitlines()] == ["b"]
    assert "attachment" in csv.headers["Content-Disposition"]
    assert client.get("/dashboard/export?since=yesterday").status_code == 422


def test_fields_at_fault_are_marked_in_the_body(client: FlaskClient) -> None:
    deliver(client, payload(message_id="m1", sender="nobody", note={"from": "<b>"}, text='"from" is text'))

    page = client.get("/dashboard/quarantine/1").text

    assert re.findall("(.{7})<mark>([^<]+)</mark>", unescape(page)) == [(' "m1", ', '"from"')]
    assert "&lt;b&gt;" in page


def test_only_a_delivery_in_conflict_is_offered_a_new_id(client: FlaskClient) -> None:
    deliver(client, {"message_id": "bad"})

    assert "rename" not in client.get("/dashboard/quarantine/1").text


def test_a_replay_shows_what_is_wrong_with_it_at_that_time(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(client, payload(ts="yesterday"))

    def parse(_self: Native, _delivery: Delivery) -> Contents:
        raise PayloadInvalid(Reason.INVALID_FIELDS, {"to": ["Not one of ours."]})

    monkeypatch.setattr(Native, "parse", parse)
    page = client.post("/dashboard/quarantine/1/replay", headers=OWN).text

    assert "Still in quarantine: invalid_fields. to: Not one of ours. 0 created, 0 duplicate, 0 conflict." in page


def test_a_browser_gets_errors_as_a_page_and_a_program_as_json(client: FlaskClient) -> None:
    page = client.get("/dashboard/quarantine/7", headers={"Accept": "text/html"})
    line = client.get("/dashboard/quarantine/7", headers={"Accept": "*/*", "HX-Request": "true"})

    assert (page.status_code, line.status_code) == (404, 404)
    assert page.text.startswith("<!doctype html>")
    assert line.text == '<p class="notice" role="status">Not found.</p>'
    assert client.get("/dashboard/quarantine/7").get_json() == {"detail": "not found"}


def test_a_body_is_shown_as_text_and_as_hex() -> None:
    assert (
        view_raw(b'{"a"}\n\x00').hex_dump == "00000000  7b 22 61 22 7d 0a 00                             " + '{"a"}..'
    )
    assert view_raw(b"\xff").text is None
    assert view_raw(b"\xc3\xa9").text == ["é"]
    large = view_raw("é".encode() * RAW_SHOWN)
    assert (large.is_cut, len((large.text or [""])[0])) == (True, RAW_SHOWN // 2)


def test_of_a_flood_only_the_newest_are_looked_at(sqlite_url: str) -> None:
    with opened(sqlite_url) as database:
        accept(database, Contents(messages=tuple(message() for _ in range(MOST_FOLLOWED + 50))))
    with _application(sqlite_url) as client:
        told = client.get("/dashboard/live").get_json()
        assert (len(told["messages"]), told["may_be_more"]) == (MOST_FOLLOWED, True)
        assert client.get(f"/dashboard/live?after={told['after']}").status_code == 204


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
