"""The shipped nginx answers in the service's place as the service would, and tells it who calls."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from tests.support.nginx import Client, Nginx
from tests.support.server import Server
from tests.support.waiting import wait_until

TOKEN = "the-token"


@pytest.fixture
def server(sqlite_url: str) -> Iterator[Server]:
    """The service behind a proxy and nginx."""
    with Server(sqlite_url, TRUSTED_PROXIES="2", API_TOKEN=TOKEN, WEBHOOK_SECRET="secret") as server:
        yield server


@pytest.fixture
def nginx(server: Server) -> Iterator[Nginx]:
    """An nginx that is the only proxy."""
    with Nginx(server) as running:
        yield running


def exchange(nginx: Nginx, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Sends bytes that may be no HTTP, and reads the answer: its status, its headers by lower-case name, its body."""
    with socket.create_connection(("127.0.0.1", nginx.port), timeout=30) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as answer:
            status = int(answer.readline().split()[1])
            lines = [line.decode().strip() for line in iter(answer.readline, b"\r\n")]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            return status, headers, answer.read(int(headers["content-length"]))


def logged(nginx: Nginx, request_id: str) -> dict[str, Any]:
    """The line of a request, which nginx writes when it is done with the connection."""

    def lines() -> list[str]:
        return [line for line in nginx.output().splitlines() if request_id in line]

    wait_until(lambda: bool(lines()), "the line")
    line: dict[str, Any] = json.loads(lines()[0])
    return line


def head(line: str, *headers: str) -> bytes:
    """The head of a request."""
    return "\r\n".join([line, "Host: localhost", *headers, "", ""]).encode()


REFUSED = {
    head("GET /%00 HTTP/1.1"): (400, "bad request"),
    head("GET /../x HTTP/1.1"): (400, "bad request"),
    head("GET /.unreadable HTTP/1.1"): (400, "bad request"),
    head("GET / HTTP/1.1", "Host: another"): (400, "bad request"),
    head("GET / HTTP/1.1", f"X-Long: {40_000 * 'a'}"): (400, "bad request"),
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n": (400, "bad request"),
    head("TRACE / HTTP/1.1"): (405, "method not allowed"),
    head("POST /a.html HTTP/1.1", "Content-Length: 99999999"): (413, "body too large"),
    head(f"GET /{40_000 * 'a'} HTTP/1.1"): (414, "request uri too long"),
    head("POST / HTTP/1.1", "Transfer-Encoding: gzip"): (501, "not implemented"),
    head("GET / HTTP/3.0"): (505, "http version not supported"),
}


def test_what_nginx_refuses_is_json_with_an_id_that_is_in_its_log(nginx: Nginx) -> None:
    for request, (refused, detail) in REFUSED.items():
        status, headers, body = exchange(nginx, request)

        assert (status, body) == (refused, json.dumps({"detail": detail}, separators=(",", ":")).encode() + b"\n")
        assert headers["content-type"] == "application/json"
        assert logged(nginx, headers["x-request-id"])["status"] == refused


def test_a_tunnel_is_refused_in_json(nginx: Nginx) -> None:
    """Some releases of nginx can't read the line, and newer ones know the method."""
    status, headers, body = exchange(nginx, head("CONNECT elsewhere:443 HTTP/1.1"))

    assert status in {400, 405}
    assert headers["content-type"] == "application/json"
    assert json.loads(body).keys() == {"detail"}


def test_the_log_names_no_method_of_a_request_that_nginx_refuses_to_read(nginx: Nginx) -> None:
    _, unread, _ = exchange(nginx, head("TRACE / HTTP/1.1"))
    _, too_large, _ = exchange(nginx, head("POST / HTTP/1.1", "Content-Length: 99999999"))

    assert logged(nginx, unread["x-request-id"])["method"] == "other"
    assert logged(nginx, too_large["x-request-id"])["method"] == "POST"


def sign_in(client: Client, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
    """Signs a browser in at the dashboard."""
    return client.post("/dashboard/sign-in", {"token": TOKEN}, {"Sec-Fetch-Site": "same-origin", **headers})


@pytest.mark.parametrize(
    ("proxies", "claimed", "scheme"), [(1, "https", "http"), (2, "http", "http"), (2, "https", "https")]
)
def test_the_service_learns_that_a_proxy_in_front_of_nginx_ended_tls_and_no_caller_may_claim_it(
    server: Server, proxies: int, claimed: str, scheme: str
) -> None:
    headers = {"X-Forwarded-Proto": claimed, "Authorization": f"Bearer {TOKEN}", "Host": "inbox.example.org"}
    with Nginx(server, trusted_proxies=proxies) as nginx, Client(nginx, "127.0.0.1") as client:
        cookie = sign_in(client, headers).headers["Set-Cookie"]
        page = client.get("/dashboard/setup", headers).data.decode()

    assert ("; Secure" in cookie) == (scheme == "https")
    assert f"{scheme}://inbox.example.org/webhook" in page
