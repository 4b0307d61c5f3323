"""Who gets to see the dashboard, and what a browser needs to change something."""

import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from flask.testing import FlaskClient
from itsdangerous import TimestampSigner
from werkzeug.test import TestResponse

from tests.support.app import application, deliver
from tests.support.forwarding_destinations import destination
from tests.support.routes import walk
from webhook_service.configuration.loading import Configuration
from webhook_service.dashboard.pages import CONTENT_SECURITY_POLICY
from webhook_service.domain.secrets import Secrets
from webhook_service.web.sessions import SESSION_COOKIE, SESSION_LENGTH

TOKEN = "the-token"
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
OWN = {"Sec-Fetch-Site": "same-origin"}
SIGN_IN = "/dashboard/sign-in"
OPEN = {"dashboard_assets.show", "dashboard_sign_in.show", "dashboard_sign_in.sign_in", "dashboard_sign_in.sign_out"}
NO_PAGES = [
    ("GET", "/dashboard/nothing", 404),
    ("GET", "/dashboard/messages/nothing", 404),
    ("POST", "/dashboard/nothing", 404),
    ("POST", "/dashboard/messages", 405),
    ("GET", "/dashboard/destinations/native/resume", 405),
]
"""A method and an address of no page, with the status that whoever may see the dashboard is told."""


@pytest.fixture
def client(sqlite_url: str) -> Iterator[FlaskClient]:
    """An application with a token, a consumer, a destination, and one delivery in quarantine."""
    configuration = Configuration(destinations={"native": destination("https://shop.example", "native")})
    with application(sqlite_url, api_token=Secrets(TOKEN), configuration=configuration) as made:
        made.put("/consumers/native", json={}, headers={"Authorization": f"Bearer {TOKEN}"})
        deliver(made, {"message_id": "bad"})
        yield made


def sign_in(client: FlaskClient, token: str = TOKEN, **form: str) -> TestResponse:
    return client.post("/dashboard/sign-in", data={"token": token, **form}, headers=OWN)


def routes(client: FlaskClient) -> list[tuple[str, str, str]]:
    """Every route of the dashboard: its endpoint, a method and a path."""
    return [
        (route.endpoint, route.method, route.path)
        for route in walk(client.application)
        if route.endpoint.startswith("dashboard_")
    ]


def test_a_stranger_sees_nothing_but_the_sign_in_page(client: FlaskClient) -> None:
    for endpoint, method, path in routes(client):
        status = client.open(path, method=method, headers=OWN).status_code
        assert (status != 401) if endpoint in OPEN and endpoint != "dashboard_sign_in.sign_in" else status == 401, path


def test_a_browser_that_is_not_signed_in_is_led_to_the_sign_in_page(client: FlaskClient) -> None:
    for endpoint, method, path in routes(client):
        if endpoint not in OPEN:
            response = client.open(path, method=method, headers={**HTML, **OWN})
            assert response.status_code == 303, path
            assert response.headers["Location"].startswith("/dashboard/sign-in"), path


@pytest.mark.parametrize("path", ["/messages", "/stats", "/quarantine", "/nothing", "/export"])
def test_the_json_calls_lead_nobody_to_the_sign_in_page(path: str, client: FlaskClient) -> None:
    assert client.get(path, headers=HTML).status_code == 401


def test_whoever_reads_with_the_token_sees_the_pages_too(client: FlaskClient) -> None:
    for headers in ({"Authorization": f"Bearer {TOKEN}"}, {"Authorization": "Basic OnRoZS10b2tlbg=="}):
        for endpoint, method, path in routes(client):
            if method == "GET" and endpoint != "dashboard_assets.show":
                assert client.get(path, headers=headers).status_code in {200, 204, 302}, path


def test_a_signed_in_browser_sees_the_pages_and_no_json_call(client: FlaskClient) -> None:
    sign_in(client)

    for endpoint, method, path in routes(client):
        if method == "GET" and endpoint not in OPEN and path != "/":
            assert client.get(path, headers=HTML).status_code in {200, 204, 302}, path
    assert client.get("/messages").status_code == 401


def test_the_cookie_is_kept_from_scripts_and_other_sites_and_expires(client: FlaskClient) -> None:
    cookie = sign_in(client).headers["Set-Cookie"]

    assert all(part in cookie for part in ("HttpOnly", "SameSite=Lax", "Path=/dashboard", "Max-Age=604800"))
    assert "Secure" not in cookie
    assert TOKEN not in cookie


def test_the_cookie_is_for_tls_alone_where_the_page_came_by_tls(client: FlaskClient) -> None:
    response = client.post("/dashboard/sign-in", data={"token": TOKEN}, headers=OWN, base_url="https://inbox.example")

    assert "Secure" in response.headers["Set-Cookie"]


def test_a_page_is_the_same_with_a_slash_at_its_end_and_without(client: FlaskClient) -> None:
    sign_in(client)

    for endpoint, method, path in routes(client):
        if method == "GET" and path != "/" and endpoint != "dashboard_assets.show":
            answers = [client.get(path.rstrip("/") + slash, headers=HTML) for slash in ("", "/")]
            assert {answer.status_code for answer in answers} <= {200, 204, 302, 303}, path
            assert answers[0].status_code == answers[1].status_code, path
            assert answers[0].headers.get("Location") == answers[1].headers.get("Location"), path


def test_a_wrong_token_is_told_as_such_and_opens_no_session(client: FlaskClient) -> None:
    response = sign_in(client, "wrong")

    assert response.status_code == 401
    assert "not the API token" in response.text
    assert "Set-Cookie" not in response.headers
    assert "wrong" not in response.text


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        ("/dashboard/messages?q=a&from=%2B49", "/dashboard/messages?q=a&from=%2B49"),
        *((bad, "/dashboard/") for bad in ("", "//evil.example", "https://evil.example/dashboard/", "/messages")),
        *((bad, "/dashboard/") for bad in ("/dashboard/\\evil", "\\\\evil.example", "javascript:alert(1)")),
        *((bad, "/dashboard/") for bad in ("/dashboard/\nx", "/dashboard/\x7f", "/dashboard/é", "/dashboard/ x")),
    ],
)
def test_after_signing_in_one_is_where_one_wanted_to_be(wanted: str, shown: str, client: FlaskClient) -> None:
    assert sign_in(client, next=wanted).headers["Location"] == shown


def test_signing_out_ends_the_session_of_the_browser(client: FlaskClient) -> None:
    sign_in(client)
    client.post("/dashboard/sign-out", headers=OWN)

    assert client.get("/dashboard/messages", headers=HTML).status_code == 303


def test_a_session_expires(client: FlaskClient) -> None:
    later = datetime.now(UTC) + SESSION_LENGTH + timedelta(seconds=2)
    sign_in(client)
    with patch.object(TimestampSigner, "get_timestamp", return_value=int(later.timestamp())):
        assert client.get("/dashboard/messages", headers=HTML).status_code == 303

    assert client.get("/dashboard/messages", headers=HTML).status_code == 200


def test_another_token_signs_everyone_out_unless_the_old_one_is_still_taken(sqlite_url: str) -> None:
    with application(sqlite_url, api_token=Secrets("old")) as client:
        cookie = (sign_in(client, "old"), client.get_cookie(SESSION_COOKIE, path="/dashboard"))[1]
    assert cookie is not None
    for token, status in ((Secrets("new"), 303), (Secrets("new", "old"), 200)):
        with application(sqlite_url, api_token=token) as client:
            client.set_cookie(SESSION_COOKIE, cookie.value, path="/dashboard")
            assert client.get("/dashboard/messages", headers=HTML).status_code == status


@pytest.mark.parametrize("cookie", ["", "a", "a.b.c", "signed-in", "é"])
def test_a_made_up_cookie_opens_nothing(cookie: str, client: FlaskClient) -> None:
    client.set_cookie(SESSION_COOKIE, cookie, path="/dashboard")

    assert client.get("/dashboard/messages", headers=HTML).status_code == 303


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", None])
def test_a_change_needs_to_come_from_a_page_of_the_service(site: str | None, client: FlaskClient) -> None:
    sign_in(client)
    headers = {} if site is None else {"Sec-Fetch-Site": site}

    for _, method, path in routes(client):
        if method == "POST":
            assert client.post(path, headers=headers, data={"token": TOKEN}).status_code == 403, path


def test_where_a_browser_does_not_tell_the_site_the_form_proves_it(client: FlaskClient) -> None:
    sign_in(client)
    page = client.get("/dashboard/quarantine/1").text
    found = re.search(r'name="form_token" value="([^"]+)"', page)
    assert found is not None

    url = "/dashboard/quarantine/1/replay"
    assert client.post(url, data={"form_token": found[1]}).status_code == 200
    assert client.post(url, data={"form_token": found[1] + "x"}).status_code == 403
    assert client.post(url, data={"form_token": found[1]}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post(url, data={"form_token": found[1]}, headers={"Origin": "http://evil.example"}).status_code == 403


def test_the_form_of_one_caller_proves_nothing_for_another(client: FlaskClient) -> None:
    anyones = re.search(r'name="form_token" value="([^"]+)"', client.get("/dashboard/sign-in").text)
    assert anyones is not None
    basic = {"Authorization": "Basic " + b64encode(f"x:{TOKEN}".encode()).decode()}

    url, data = "/dashboard/quarantine/1/replay", {"form_token": anyones[1]}
    assert client.post(url, data=data, headers=basic).status_code == 403
    sign_in(client)
    assert client.post(url, data=data).status_code == 403


def test_with_an_admin_token_only_its_sessions_change_anything(sqlite_url: str) -> None:
    with application(sqlite_url, api_token=Secrets(TOKEN), admin_token=Secrets("admin")) as client:
        answers: dict[str, dict[tuple[str, str], int]] = {TOKEN: {}, "admin": {}}
        for token, told in answers.items():
            sign_in(client, token)
            for endpoint, method, path in routes(client):
                if endpoint not in OPEN and path != "/":
                    told[method, path] = client.open(path, method=method, headers={**HTML, **OWN}).status_code

    assert {call for call, status in answers[TOKEN].items() if status == 403} == {
        (method, path) for method, path in answers[TOKEN] if method == "POST"
    }
    assert not {401, 403} & set(answers["admin"].values())
    assert max(answers["admin"].values()) < 500


def test_in_protected_mode_the_pages_are_for_this_machine(sqlite_url: str) -> None:
    with application(sqlite_url) as client:
        for endpoint, method, path in routes(client):
            if endpoint not in OPEN:
                far = client.open(path, method=method, headers=HTML, environ_base={"REMOTE_ADDR": "192.0.2.7"})
                assert far.status_code == 401, path
        assert client.get("/dashboard/messages", headers=HTML).status_code == 200
        assert client.post("/dashboard/quarantine/replay").status_code == 403
        assert client.post("/dashboard/quarantine/replay", headers=OWN).status_code == 200


def test_a_part_of_a_page_is_never_the_sign_in_page(client: FlaskClient) -> None:
    response = client.get("/dashboard/messages?message=a", headers={**HTML, "HX-Request": "true"})

    assert (response.status_code, response.headers["HX-Refresh"]) == (401, "true")


@pytest.mark.parametrize("headers", [{**HTML, "HX-Request": "true"}, {"Accept": "application/json"}, {}])
def test_no_script_of_a_page_has_the_browser_ask_for_a_password(headers: dict[str, str], client: FlaskClient) -> None:
    for endpoint, method, path in routes(client):
        if endpoint not in OPEN:
            response = client.open(path, method=method, headers={**headers, **OWN})
            assert response.headers.getlist("WWW-Authenticate") == ["Bearer"], path


def test_an_address_that_is_no_page_is_for_whom_the_pages_are_for(sqlite_url: str, client: FlaskClient) -> None:
    for method, path, _ in NO_PAGES:
        stranger = client.open(path, method=method, headers={**HTML, **OWN})
        assert stranger.status_code == 303, path
        assert stranger.headers["Location"].startswith("/dashboard/sign-in"), path
    sign_in(client)
    for method, path, status in NO_PAGES:
        signed_in = client.open(path, method=method, headers={**HTML, **OWN})
        assert (signed_in.status_code, signed_in.text[:15]) == (status, "<!doctype html>"), path
        program = client.open(path, method=method, headers=OWN)
        assert (program.status_code, program.is_json) == (status, True), path
    with application(sqlite_url) as in_protected_mode:
        for method, path, status in NO_PAGES:
            mine = in_protected_mode.open(path, method=method, headers={**HTML, **OWN})
            assert (mine.status_code, mine.text[:15]) == (status, "<!doctype html>"), path
            far = in_protected_mode.get(path, headers=HTML, environ_base={"REMOTE_ADDR": "192.0.2.7"})
            assert (far.status_code, far.text[:15]) == (401, "<!doctype html>"), path


@pytest.mark.parametrize(
    ("action", "page"),
    [
        *((f"/dashboard/quarantine/{action}", "/dashboard/quarantine") for action in ("replay", "1/replay", "1/drop")),
        *((f"/dashboard/dead-letters/{each}", "/dashboard/dead-letters") for each in ("retry", "1/retry", "1/drop")),
        ("/dashboard/setup/native/test", "/dashboard/setup"),
    ],
)
def test_the_address_of_an_action_leads_back_to_its_list(action: str, page: str, client: FlaskClient) -> None:
    sign_in(client)

    assert client.get(action, headers=HTML).headers["Location"] == page


def test_every_answer_of_the_dashboard_is_protected(client: FlaskClient) -> None:
    sign_in(client)
    unmatched = [("", method, path) for method, path, _ in NO_PAGES]
    for endpoint, method, path in [*routes(client), *unmatched]:
        answer = client.open(path, method=method, headers={**HTML, **OWN})
        assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY, path
        assert answer.headers["X-Content-Type-Options"] == "nosniff", path
        assert answer.headers["Referrer-Policy"] == "same-origin", path
        assert answer.headers["Cache-Control"] == "no-store" or endpoint == "dashboard_assets.show", path
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "frame-ancestors 'none'" in CONTENT_SECURITY_POLICY


@pytest.fixture
def reader(sqlite_url: str) -> Iterator[FlaskClient]:
    """A client that is signed in with the API token where there is an admin token, and one delivery in quarantine."""
    with application(sqlite_url, api_token=Secrets(TOKEN), admin_token=Secrets("admins")) as made:
        deliver(made, {"message_id": "bad"})
        sign_in(made)
        yield made


@pytest.mark.parametrize("path", ["quarantine/replay", "quarantine/1/replay", "quarantine/1/drop", "setup/native/test"])
def test_a_reader_who_changes_something_is_told_which_token_it_takes(path: str, reader: FlaskClient) -> None:
    response = reader.post(f"/dashboard/{path}", headers={**HTML, **OWN})

    assert response.status_code == 403
    assert "ADMIN_TOKEN needed: sign out, then sign in with it." in response.text
    reader.post("/dashboard/sign-out", headers=OWN)
    sign_in(reader, "admins")
    assert reader.post(f"/dashboard/{path}", headers={**HTML, **OWN}).status_code == 200


def test_the_sign_in_page_says_what_each_token_is_good_for(reader: FlaskClient, client: FlaskClient) -> None:
    reader.post("/dashboard/sign-out", headers=OWN)

    assert "<code>ADMIN_TOKEN</code>, to replay, drop and send test messages too" in reader.get(SIGN_IN).text
    assert "neither API_TOKEN nor ADMIN_TOKEN" in sign_in(reader, "wrong").text
    assert "ADMIN_TOKEN" not in client.get(SIGN_IN).text
