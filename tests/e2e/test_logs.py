"""What the service writes, and what it never does."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.support.deliveries import SECRET, payload, signed, to_bytes
from tests.support.server import Server
from tests.support.waiting import wait_until

ON_EVERY_LINE = {"ts", "level", "logger", "message"}
OF_A_REQUEST = ON_EVERY_LINE | {"request_id", "client", "method", "path", "status", "latency_ms"}


def line_of(server: Server, method: str, path: str, body: bytes | None = None, **headers: str) -> dict[str, Any]:
    """The one line that this request leaves."""
    request_id = f"test-{uuid4()}"
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    status = server.request(method, path, body, {**sent, "X-Request-ID": request_id}).status

    def lines() -> list[dict[str, Any]]:
        return [line for line in server.request_lines() if line["request_id"] == request_id]

    wait_until(lambda: len(lines()) > 0, "the request's line")
    (line,) = lines()
    assert line["status"] == status
    return line


def test_a_request_is_one_line_with_exactly_the_contracts_fields(server: Server) -> None:
    line = line_of(server, "GET", "/messages?q=needle&from=+4915199")

    assert line.keys() == OF_A_REQUEST
    assert (line["method"], line["path"], line["status"], line["level"]) == ("GET", "/messages", 200, "INFO")
    assert isinstance(line["latency_ms"], float)
    assert abs(datetime.fromisoformat(line["ts"]) - datetime.now(UTC)) < timedelta(hours=1)


def test_a_delivery_tells_what_became_of_it(server: Server) -> None:
    content = payload()
    raw = to_bytes(content)

    created, duplicate = (line_of(server, "POST", "/webhook", raw, **signed(raw)) for _ in range(2))

    assert created.keys() == duplicate.keys() == OF_A_REQUEST | {"source", "provider", "message_id", "dup", "result"}
    told = [(line["provider"], line["message_id"], line["dup"], line["result"]) for line in (created, duplicate)]
    assert told == [
        ("native", content["message_id"], False, "created"),
        ("native", content["message_id"], True, "duplicate"),
    ]


@pytest.mark.parametrize(
    ("raw", "signed_as", "result", "reason"),
    [
        (b"{}", None, "invalid_signature", "missing_signature"),
        (b"{}", b"other", "invalid_signature", "wrong_signature"),
        (b"{}", b"{}", "validation_error", "invalid_fields"),
        (b"no", b"no", "validation_error", "not_json"),
    ],
)
def test_a_refused_delivery_tells_why(
    raw: bytes, signed_as: bytes | None, result: str, reason: str, server: Server
) -> None:
    headers = {} if signed_as is None else signed(signed_as)

    line = line_of(server, "POST", "/webhook", raw, **headers)

    quarantined = {"quarantined"} if result == "validation_error" else set()
    assert line.keys() == OF_A_REQUEST | {"source", "provider", "result", "reason"} | quarantined
    assert (line["provider"], line["result"], line["reason"]) == ("native", result, reason)


def test_no_line_shows_what_a_message_says_or_who_sent_it(server: Server) -> None:
    sender, recipient = "+490000000000001", "+490000000000002"
    sent = payload(sender=sender, recipient=recipient, text="unspeakable", extra_field="unmentionable")
    raw = to_bytes(sent)
    headers = signed(raw)
    line_of(server, "POST", "/webhook", raw, **headers)
    line_of(server, "POST", "/webhook", raw, X_Signature="0" * 64)
    refused = to_bytes({**sent, "ts": "unspeakable", "from": f"{sender}99999"})
    line_of(server, "POST", "/webhook", refused, **signed(refused))
    line_of(server, "GET", f"/messages?from={sender}&q=unspeakable&limit=unspeakable")
    line_of(server, "GET", "/stats?token=unspeakable", Authorization="Bearer unmentionable", Cookie="a=unmentionable")

    output = server.output()
    for secret in (sender, recipient, "unspeakable", "unmentionable", SECRET, headers["X-Signature"]):
        assert secret not in output


def test_the_lines_of_gunicorn_are_json_too(server: Server) -> None:
    lines = server.log_lines()

    assert all(line.keys() >= ON_EVERY_LINE for line in lines)
    assert {"gunicorn.error", "webhook_service.request"} <= {line["logger"] for line in lines}


def test_the_settings_in_effect_are_logged_masked(server: Server) -> None:
    (starting,) = [line for line in server.log_lines() if line["message"] == "starting"]

    assert starting["settings"]["bind"] == f"127.0.0.1:{server.port}"
    assert starting["settings"]["providers"] == ["native"]


def test_a_higher_level_leaves_the_lines_of_requests_out(sqlite_url: str) -> None:
    with Server(sqlite_url, LOG_LEVEL="WARNING") as quiet:
        delivered = quiet.deliver(payload())

        assert delivered.status == 200
        assert quiet.log_lines() == []


def test_what_an_open_dashboard_asks_for_again_and_again_leaves_no_line(server: Server) -> None:
    for path in ("/dashboard/live", "/dashboard/setup/native"):
        assert server.get(path, {"X-Request-ID": "routine"}).status in {200, 204}
    line_of(server, "GET", "/dashboard/live?after=nonsense")
    line_of(server, "GET", "/dashboard/messages")

    assert "routine" not in [line["request_id"] for line in server.request_lines()]
