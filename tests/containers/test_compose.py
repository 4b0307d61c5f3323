"""The deployment in containers answers, and its containers hold no more than they need."""

import re
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.containers.stack import SECRET, Stack, a_message

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]

MAX_BODY_BYTES = 3 * 2**20


def test_a_signed_delivery_is_stored_once_and_read_back_with_the_token(stack: Stack) -> None:
    message = a_message(**{"from": "+4915100000001"})

    answers = [stack.deliver(message) for _ in range(2)]

    assert [(answer.status, answer.json()) for answer in answers] == [(200, {"status": "ok"})] * 2
    found = stack.read("/messages?from=%2B4915100000001")
    assert found["total"] == 1
    assert found["data"][0].items() >= message.items()


def test_reading_without_the_token_is_refused(stack: Stack) -> None:
    response = stack.request("GET", "/messages")

    assert response.status == 401


@pytest.mark.parametrize("path", ["/metrics", "//metrics", "/%6Detrics"])
def test_metrics_are_not_served_through_the_proxy(stack: Stack, path: str) -> None:
    response = stack.request("GET", path)

    assert response.status == 403
    assert response.json() == {"detail": "not served through a proxy"}


def test_metrics_are_served_to_a_scraper_beside_the_app(stack: Stack) -> None:
    scrape = "import urllib.request; print(urllib.request.urlopen('http://app:8000/metrics').read().decode())"

    scraped = stack.in_app("python", "-c", scrape)

    assert "# TYPE http_requests_total counter" in scraped


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_over_the_limit_is_refused_in_json(stack: Stack, chunked: bool) -> None:
    body = bytes(MAX_BODY_BYTES + 1)

    response = stack.request("POST", "/webhook", body=iter([body]) if chunked else body)

    assert response.status == 413
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == {"detail": "body too large"}


def test_a_body_at_the_limit_reaches_the_app(stack: Stack) -> None:
    response = stack.request("POST", "/webhook", body=bytes(MAX_BODY_BYTES))

    assert response.status == 401
    assert response.json() == {"detail": "invalid signature"}


def test_a_message_id_with_a_slash_is_found(stack: Stack) -> None:
    message = a_message(message_id=f"wamid.{uuid4()}//a/../b%2F+c==")
    stack.deliver(message)

    found = stack.read(f"/messages/{quote(message['message_id'], safe='')}")

    assert found["message_id"] == message["message_id"]


@pytest.mark.parametrize("path", ["/health/live", "/metrics"], ids=["the app", "the proxy"])
def test_a_request_id_comes_back_from_whoever_answers(stack: Stack, path: str) -> None:
    response = stack.request("GET", path, {"X-Request-ID": "from-the-caller"})

    assert response.headers["X-Request-ID"] == "from-the-caller"


def test_the_app_has_no_privileges_and_no_tools(stack: Stack) -> None:
    status = stack.in_app("cat", "/proc/self/status")
    tools = stack.in_app("sh", "-c", "command -v cc gcc curl wget || true")
    mounts = stack.in_app("cat", "/proc/mounts")

    assert re.search(r"^Uid:\t10001\t10001\t10001\t10001$", status, re.MULTILINE)
    assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    assert re.search(r"^\S+ / \S+ ro,", mounts, re.MULTILINE)
    assert tools == ""


def test_the_image_holds_no_env_file(stack: Stack) -> None:
    files = stack.in_app("ls", "-A", "/app").split()

    assert "wsgi.py" in files
    assert ".env" not in files


def test_up_writes_only_the_secrets_that_are_missing(stack: Stack) -> None:
    secrets = stack.env_file()

    assert secrets.pop("WEBHOOK_SECRET") == SECRET
    assert re.fullmatch("[0-9a-f]{64}", secrets.pop("API_TOKEN"))
    assert set(secrets) <= {"POSTGRES_PASSWORD"}


def test_no_secret_is_in_the_environment_of_a_container(stack: Stack) -> None:
    shown = [stack.inspect(service, "{{json .Config}}") for service in stack.compose("config", "--services").split()]

    assert not [secret for secret in stack.env_file().values() if secret in "".join(shown)]
    assert SECRET not in stack.in_app("sh", "-c", "tr '\\0' '\\n' </proc/1/environ")
