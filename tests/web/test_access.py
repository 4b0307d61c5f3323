"""Who may read, with and without an API token."""

import base64
import os
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import Client, EnvironBuilder, run_wsgi_app

from tests.support.app import application
from tests.support.deliveries import payload, signed, to_bytes
from tests.support.routes import walk
from webhook_service.domain.secrets import Secrets
from webhook_service.web.access import GuardedBlueprint
from webhook_service.web.metrics import METRICS_ENDPOINT

TOKEN = "t0ken=with:punctuation=="
REMOTE = "192.0.2.7"
ME, SOMEONE = os.geteuid(), 60_001
GUARDED = ("/messages", "/messages/a", "/stats", "/", "/nothing", "/health", "/webhooks")
OPEN_TO_A_STRANGER = {
    *("/webhook", "/webhook/<name>", "/health/live", "/health/ready", "/metrics"),
    *("/dashboard/sign-in", "/dashboard/sign-out", "/dashboard/static/<digest>/<any_text:name>"),
}


@pytest.fixture(scope="module")
def open_client(shared_sqlite_url: str) -> Iterator[FlaskClient]:
    """An application without an API token."""
    with application(shared_sqlite_url) as made:
        yield made


@pytest.fixture(scope="module")
def guarded_client(shared_sqlite_url: str) -> Iterator[FlaskClient]:
    """An application with a token, and with the one before it."""
    with application(shared_sqlite_url, api_token=Secrets(TOKEN, "öld")) as made:
        yield made


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def status(client: FlaskClient, path: str = "/stats", peer: str = "127.0.0.1", **request: Any) -> int:
    return client.get(path, environ_base={"REMOTE_ADDR": peer}, **request).status_code


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "127.0.0.2", "[::1]:8000", "[::1]"])
def test_protected_mode_lets_in_who_is_on_this_machine(peer: str, host: str, open_client: FlaskClient) -> None:
    assert status(open_client, peer=peer, headers={"Host": host}) == 200


@pytest.mark.parametrize(
    "peer",
    [REMOTE, "10.0.0.1", "0.0.0.0", "::", "2001:db8::1", "::ffff:192.0.2.7", "fe80::1", "", "localhost", "unix:"],
)
@pytest.mark.parametrize("path", GUARDED)
def test_protected_mode_keeps_out_everyone_else(path: str, peer: str, open_client: FlaskClient) -> None:
    response = open_client.get(path, environ_base={"REMOTE_ADDR": peer})

    assert response.status_code == 401
    assert "API_TOKEN" in response.json["detail"]  # type: ignore[index]
    assert "WWW-Authenticate" not in response.headers


@pytest.mark.parametrize(
    "header",
    ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Host", "X-Forwarded-Proto", "Via", "x-forwarded-for"],
)
@pytest.mark.parametrize("value", ["127.0.0.1", ""])
def test_protected_mode_keeps_out_what_a_proxy_passes_on(header: str, value: str, open_client: FlaskClient) -> None:
    assert status(open_client, headers={header: value}) == 401


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "evil_name.example", "localhost.evil.example", "127.0.0.1.evil.example"),
        *(
            "evil!",
            "evil.example@localhost",
            "localhost@evil.example",
            "[",
            "[::1",
            "]",
            "[::ffff:192.0.2.7]",
            "192.0.2.7",
        ),
        *(
            "evil example",
            "é",
            "0.0.0.0",
            "localhost/..",
            "localhost,evil.example",
            "evil.example\\@localhost",
            "a" * 300,
        ),
    ],
)
def test_protected_mode_keeps_out_a_name_that_was_pointed_here(host: str, open_client: FlaskClient) -> None:
    assert status(open_client, headers={"Host": host}) == 401


def test_a_trusted_proxy_does_not_turn_a_caller_into_this_machine(shared_sqlite_url: str) -> None:
    with application(shared_sqlite_url, trusted_proxies=1) as client:
        assert status(client, headers={"X-Forwarded-For": "127.0.0.1"}) == 401
        assert status(client, peer=REMOTE, headers={"X-Forwarded-For": "127.0.0.1"}) == 401
        assert status(client) == 200


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        ((ME,), 200),
        ((0,), 200),
        ((ME, 0), 200),
        ((), 401),
        ((SOMEONE,), 401),
        ((ME, SOMEONE), 401),
    ],
)
def test_protected_mode_is_for_this_user_and_for_root(
    users: tuple[int, ...], expected: int, shared_sqlite_url: str
) -> None:
    with application(shared_sqlite_url, users=users) as client:
        assert status(client) == expected


def test_another_user_needs_the_token_and_nothing_else(shared_sqlite_url: str) -> None:
    with application(shared_sqlite_url, users=(SOMEONE,), api_token=Secrets(TOKEN)) as client:
        assert status(client, headers={"Authorization": f"Bearer {TOKEN}"}) == 200


@pytest.mark.parametrize("path", ["/stats", "/metrics", "/webhook", "/health/live"])
def test_http_1_1_needs_a_host(path: str, open_client: FlaskClient) -> None:
    statuses = []
    for protocol in ("HTTP/1.1", "HTTP/1.0"):
        environ = EnvironBuilder(path, environ_base={"REMOTE_ADDR": "127.0.0.1"}).get_environ()
        del environ["HTTP_HOST"]
        _, status_line, _ = run_wsgi_app(
            open_client.application, {**environ, "SERVER_PROTOCOL": protocol}, buffered=True
        )
        statuses.append(int(status_line.split()[0]))

    assert statuses[0] == 400
    assert statuses[1] != 400


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "PUT", "BREW"])
def test_protected_mode_is_for_every_method(method: str, open_client: FlaskClient) -> None:
    assert open_client.open("/messages", method=method, environ_base={"REMOTE_ADDR": REMOTE}).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {TOKEN}"},
        {"Authorization": f"bearer  {TOKEN}"},
        basic("", TOKEN),
        basic("anyone", TOKEN),
        basic("", "öld"),
        {"Authorization": "Bearer öld".encode().decode("latin-1")},
    ],
)
@pytest.mark.parametrize("peer", ["127.0.0.1", REMOTE])
def test_the_token_lets_anyone_in(headers: dict[str, str], peer: str, guarded_client: FlaskClient) -> None:
    assert (
        status(guarded_client, peer=peer, headers={**headers, "X-Forwarded-For": "1.2.3.4", "Host": "inbox.example"})
        == 200
    )


@pytest.mark.parametrize(
    "header",
    [
        *(
            None,
            "",
            "Bearer",
            "Bearer ",
            "Bearer wrong",
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            TOKEN,
            f"Token {TOKEN}",
        ),
        *("Basic", "Basic !", "Basic " + base64.b64encode(TOKEN.encode()).decode(), basic(TOKEN, "")["Authorization"]),
        *(
            "Basic " + base64.b64encode(b"\xff:\xff").decode(),
            "Bearer \xff",
            "Bearer a=b",
            "Bearer token=" + TOKEN,
            "Digest a",
        ),
        *(basic("", "")["Authorization"], basic("", TOKEN + "x")["Authorization"]),
    ],
)
@pytest.mark.parametrize("path", GUARDED)
def test_without_the_token_nobody_is_let_in(path: str, header: str | None, guarded_client: FlaskClient) -> None:
    response = guarded_client.get(path, headers={} if header is None else {"Authorization": header})

    assert (response.status_code, response.json) == (401, {"detail": "API token needed"})
    # In headers of their own: Chromium asks for no password where another challenge stands behind Basic. The pages of
    # the dashboard, where / leads, have a sign-in page instead.
    basic_first = ['Basic realm="webhook_service", charset="UTF-8"', "Bearer"]
    assert response.headers.getlist("WWW-Authenticate") == (["Bearer"] if path == "/" else basic_first)


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_health_is_for_everyone(path: str, guarded_client: FlaskClient, open_client: FlaskClient) -> None:
    for client in (guarded_client, open_client):
        assert status(client, path, peer=REMOTE, headers={"X-Forwarded-For": REMOTE, "Host": "inbox.example"}) == 200


def test_deliveries_need_a_signature_and_no_token(guarded_client: FlaskClient) -> None:
    raw = to_bytes(payload())
    remote = {"REMOTE_ADDR": REMOTE}
    token = {"Authorization": f"Bearer {TOKEN}"}

    assert guarded_client.post("/webhook", data=raw, headers=signed(raw), environ_base=remote).status_code == 200
    assert guarded_client.post("/webhook", data=raw, headers=token, environ_base=remote).status_code == 401


@pytest.mark.parametrize(
    "path",
    ["/webhook/../messages", "/webhook/%2e%2e/messages", "/health/../messages", "//messages", "/health/%2e%2e/stats"],
)
def test_no_path_leads_around_the_guard(path: str, open_client: FlaskClient) -> None:
    assert status(open_client, path, peer=REMOTE) in (401, 404, 405)


def test_metrics_are_for_the_private_network_without_a_token(guarded_client: FlaskClient) -> None:
    assert status(guarded_client, "/metrics", peer="10.0.0.9", headers={"Host": "app:8000"}) == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_metrics_are_not_served_through_a_proxy(header: str, guarded_client: FlaskClient) -> None:
    with_token = {"Authorization": f"Bearer {TOKEN}", header: "127.0.0.1"}

    assert status(guarded_client, "/metrics", headers=with_token) == 403


@pytest.mark.parametrize(
    ("site", "expected"), [("cross-site", 403), ("same-site", 403), ("same-origin", 405), ("none", 405), (None, 405)]
)
def test_a_change_from_another_site_is_refused(site: str | None, expected: int, guarded_client: FlaskClient) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", **({} if site is None else {"Sec-Fetch-Site": site})}

    assert guarded_client.post("/messages", headers=headers).status_code == expected
    assert guarded_client.get("/messages", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("https://evil.example", 403),
        ("null", 403),
        ("", 403),
        ("https://inbox.example.evil.example", 403),
        ("https://inbox.example:8443", 403),
        ("https://inbox.example", 405),
        ("https://INBOX.example", 405),
    ],
)
def test_a_change_from_another_origin_is_refused(origin: str, expected: int, guarded_client: FlaskClient) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Host": "inbox.example", "Origin": origin}

    assert guarded_client.post("/messages", headers=headers).status_code == expected
    assert guarded_client.get("/messages", headers=headers).status_code == 200


@pytest.mark.parametrize(("host", "expected"), [("localhost:8000", 200), ("inbox.example", 403)])
def test_metrics_on_this_machine_are_for_who_names_it(host: str, expected: int, guarded_client: FlaskClient) -> None:
    assert status(guarded_client, "/metrics", headers={"Host": host}) == expected


def test_every_route_declares_who_may_call_it(open_client: FlaskClient) -> None:
    app = open_client.application

    undeclared = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if not isinstance(app.blueprints.get(rule.endpoint.rpartition(".")[0]), GuardedBlueprint)
    }

    assert undeclared == {METRICS_ENDPOINT}


def test_only_deliveries_health_and_metrics_are_open_to_a_stranger(guarded_client: FlaskClient) -> None:
    app = guarded_client.application
    admitted = set()
    for route in walk(app):
        answer = guarded_client.open(route.path, method=route.method, environ_base={"REMOTE_ADDR": REMOTE})
        if answer.status_code != 401 or answer.json == {"detail": "invalid signature"}:
            admitted.add(route.rule)

    assert admitted == OPEN_TO_A_STRANGER


def test_no_answer_leads_to_an_address_without_a_host(open_client: FlaskClient, guarded_client: FlaskClient) -> None:
    for app, headers in (
        (open_client.application, {}),
        (guarded_client.application, {"Authorization": f"Bearer {TOKEN}"}),
    ):
        client = Client(app)
        for route in walk(app):
            path = route.path.rstrip("/")
            for each in {path or "/", f"{path}/"}:
                location = client.open(each, method=route.method, headers=headers).headers.get("Location")
                assert location is None or location.startswith("/dashboard/"), (each, location)


def test_with_an_admin_token_a_reader_reads_and_leases_and_changes_nothing_else(sqlite_url: str) -> None:
    own_page = {"Sec-Fetch-Site": "same-origin"}
    refused: set[tuple[str, str]] = set()
    admitted: set[tuple[str, str]] = set()
    with application(sqlite_url, api_token=Secrets("reader"), admin_token=Secrets("admin")) as client:
        for route in walk(client.application):
            if route.rule in OPEN_TO_A_STRANGER:
                continue
            reader, admin = (
                client.open(route.path, method=route.method, headers={"Authorization": f"Bearer {token}", **own_page})
                for token in ("reader", "admin")
            )
            assert admin.status_code < 500, route
            assert admin.status_code not in {401, 403}, route
            assert reader.status_code != 401, route
            (refused if reader.status_code == 403 else admitted).add((route.method, route.rule))

    assert {"POST", "PUT", "DELETE"} == {method for method, _ in refused}
    assert {rule for method, rule in admitted if method != "GET"} == {
        f"/consumers/<name>/{taking}" for taking in ("lease", "ack", "nack", "extend")
    }


@pytest.mark.parametrize("path", ["/webhook", "/health/live", "/metrics"])
def test_a_wrong_method_on_an_open_path_is_told_as_such(path: str, guarded_client: FlaskClient) -> None:
    assert guarded_client.put(path, environ_base={"REMOTE_ADDR": REMOTE}).status_code == 405
