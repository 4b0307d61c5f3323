"""The pages of messages as a browser without JavaScript gets them, and what all pages have in common."""

import gzip
import json
import re
import shlex
from html import unescape
from time import monotonic
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from tests.dashboard.corpus import HOSTILE_TEXTS
from tests.dashboard.pages import OWN, Elements, on_each_database, on_sqlite, pages, rows
from tests.support.app import deliver
from tests.support.deliveries import payload
from tests.support.messages import message
from tests.support.stored import accept, opened
from tests.support.whatsapp import a_status, a_value, of_values, post
from webhook_service.dashboard.assets import asset_path, assets
from webhook_service.dashboard.messages import MOST_FOLLOWED
from webhook_service.domain.deliveries import Contents
from webhook_service.intake.take_in import INTAKE

client = pytest.fixture(on_sqlite)
any_client = pytest.fixture(on_each_database)


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


def test_a_page_of_an_error_says_what_is_wrong_with_each_parameter(client: FlaskClient) -> None:
    answer = client.get("/dashboard/quarantine?limit=0&reazon=odd", headers={"Accept": "text/html"})

    assert answer.status_code == 422
    assert "Invalid query parameters. limit: Must be greater than" in answer.text
    assert "reazon: Unknown parameter. Did you mean" in answer.text


def test_a_message_shows_how_often_it_came_again(any_client: FlaskClient) -> None:
    for message_id in ("m1", "m1", "m1", "m2"):
        deliver(any_client, payload(message_id=message_id))
    any_client.application.extensions[INTAKE].activity.stop()

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


def test_a_browser_gets_errors_as_a_page_and_a_program_as_json(client: FlaskClient) -> None:
    page = client.get("/dashboard/quarantine/7", headers={"Accept": "text/html"})
    line = client.get("/dashboard/quarantine/7", headers={"Accept": "*/*", "HX-Request": "true"})

    assert (page.status_code, line.status_code) == (404, 404)
    assert page.text.startswith("<!doctype html>")
    assert line.text == '<p class="notice" role="status">Not found.</p>'
    assert client.get("/dashboard/quarantine/7").get_json() == {"detail": "not found"}


def test_of_a_flood_only_the_newest_are_looked_at(sqlite_url: str) -> None:
    with opened(sqlite_url) as database:
        accept(database, Contents(messages=tuple(message() for _ in range(MOST_FOLLOWED + 50))))
    with pages(sqlite_url) as client:
        told = client.get("/dashboard/live").get_json()
        assert (len(told["messages"]), told["may_be_more"]) == (MOST_FOLLOWED, True)
        assert client.get(f"/dashboard/live?after={told['after']}").status_code == 204
