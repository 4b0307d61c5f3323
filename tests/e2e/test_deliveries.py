"""Deliveries that arrive together, at two workers, on each database."""

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.support.deliveries import payload
from tests.support.metrics import Labels, samples, value
from tests.support.server import Server

RESULTS = ("created", "duplicate", "invalid_signature", "validation_error", "unavailable")


def own_number() -> str:
    """A phone number that no other test uses."""
    return f"+{uuid4().int % 10**15:015}"


def request_series(server: Server) -> set[Labels]:
    """The series of requests, but for the one that asking for them adds."""
    return {labels for labels in samples(server, "http_requests_total") if ("path", "/metrics") not in labels}


def test_200_deliveries_at_once_are_all_stored(server: Server) -> None:
    sender = own_number()
    sent = [payload(sender=sender) for _ in range(200)]

    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(server.deliver, sent))

    assert {(answer.status, answer.data) for answer in answers} == {(200, b'{"status":"ok"}')}
    pages = [server.get(f"/messages?from={sender}&limit=100&offset={offset}").json() for offset in (0, 100)]
    assert pages[0]["total"] == 200
    stored = [message["message_id"] for page in pages for message in page["data"]]
    assert sorted(stored) == sorted(message["message_id"] for message in sent)


def test_50_deliveries_of_one_message_at_once_store_it_once(server: Server) -> None:
    sender = own_number()
    message_id = f"m-{uuid4()}"
    before = {result: value(server, "webhook_requests_total", provider="native", result=result) for result in RESULTS}
    sent = [payload(message_id=message_id, sender=sender) for _ in range(50)]

    with ThreadPoolExecutor(25) as threads:
        statuses = [answer.status for answer in threads.map(server.deliver, sent)]

    assert statuses == [200] * 50
    assert server.get(f"/messages?from={sender}").json()["total"] == 1
    gained = {
        result: value(server, "webhook_requests_total", provider="native", result=result) - before[result]
        for result in RESULTS
    }
    assert gained == {"created": 1, "duplicate": 49, "invalid_signature": 0, "validation_error": 0, "unavailable": 0}


@pytest.mark.parametrize(
    "message_id", ["a/b", "/a", "a//b", "//a", "a\n", "ä😀", "a%2Fb", "?a", "#", ".", "..", "../stats", "+", ";="]
)
def test_a_message_is_found_by_its_id_percent_encoded(message_id: str, server: Server) -> None:
    server.deliver(payload(message_id=message_id))

    response = server.get(f"/messages/{quote(message_id, safe='').replace('.', '%2E')}")

    assert response.status == 200
    assert response.json()["message_id"] == message_id


def test_a_raw_plus_in_a_query_is_a_plus(server: Server) -> None:
    sender, recipient = own_number(), own_number()
    sent = payload(sender=sender, recipient=recipient, ts="2025-06-01T12:00:00+02:00")
    server.deliver(sent)

    found = server.get(
        f"/messages?from={sender}&to={recipient}&since=2025-06-01T12:00:00+02:00&until=2025-06-01T12:00:00.000001+02:00"
    )

    assert [message["message_id"] for message in found.json()["data"]] == [sent["message_id"]]


def test_metrics_add_up_over_the_workers(server: Server) -> None:
    labels = {"method": "POST", "path": "/webhook", "status": "200"}
    before = value(server, "http_requests_total", **labels)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda _: server.deliver(payload()), range(60)))

    assert [value(server, "http_requests_total", **labels) - before for _ in range(10)] == [60] * 10
    timed = samples(server, "http_request_duration_seconds_count")
    assert timed[frozenset({("method", "POST"), ("path", "/webhook")})] >= before + 60


def test_unknown_paths_and_methods_do_not_multiply_series(server: Server) -> None:
    series = {frozenset({("method", method), ("path", "unmatched"), ("status", "404")}) for method in ("GET", "other")}
    before = request_series(server)

    for number in range(60):
        server.request("GET" if number % 2 else f"M{uuid4().hex[:8].upper()}", f"/{uuid4()}")

    assert request_series(server) - before <= series


def test_identifiers_in_paths_do_not_multiply_series(server: Server) -> None:
    server.get(f"/messages/{uuid4()}")
    before = request_series(server)

    for _ in range(20):
        server.get(f"/messages/{uuid4()}")

    assert request_series(server) == before
