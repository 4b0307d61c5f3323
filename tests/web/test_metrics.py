"""What ``/metrics`` says of the server itself, of its storage, and of what has not happened yet."""

import os
import resource
import signal
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from tests.support.app import deliver
from tests.support.deliveries import payload
from tests.support.metrics import samples, value
from tests.support.server import Server
from tests.support.waiting import wait_until
from webhook_service.configuration.database_url import parse_url
from webhook_service.web.metrics import counts_added_up

MEBIBYTE = 2**20


def test_what_has_not_happened_yet_is_zero(client: FlaskClient) -> None:
    shown = client.get("/metrics").text

    assert 'webhook_requests_total{provider="native",result="conflict",source="native"} 0.0' in shown
    assert 'webhook_items_total{kind="message",outcome="conflict",provider="native",source="native"} 0.0' in shown


def test_the_database_and_its_disk_are_measured(server: Server) -> None:
    assert value(server, "storage_bytes") > 0
    url = parse_url(server.environ["DATABASE_URL"])
    if url.database and url.get_backend_name() == "sqlite":
        free = os.statvfs(Path(url.database).parent)
        assert value(server, "storage_free_bytes") == pytest.approx(free.f_bavail * free.f_frsize, rel=0.2)
    else:
        assert samples(server, "storage_free_bytes") == {}


def test_what_can_not_be_read_has_no_sample_and_the_rest_is_shown(sqlite_client: FlaskClient, tmp_path: Path) -> None:
    deliver(sqlite_client, payload())
    (tmp_path / "app.db").rename(tmp_path / "away.db")

    shown = sqlite_client.get("/metrics").text

    assert "quarantine_bytes{" not in shown
    assert 'webhook_requests_total{provider="native",result="created",source="native"} 1.0' in shown


def test_the_durations_are_there_in_milliseconds_over_all_paths(server: Server) -> None:
    server.deliver(payload())
    server.get("/stats")

    shown = server.get("/metrics").data.decode()
    families = {family.name: family.samples for family in text_string_to_metric_families(shown)}
    milliseconds, seconds = families["request_latency_ms"], families["http_request_duration_seconds"]
    buckets = [(float(sample.labels["le"]), sample.value) for sample in milliseconds if sample.name.endswith("_bucket")]

    def total(samples_of: str, ending: str) -> float:
        return sum(sample.value for sample in families[samples_of] if sample.name.endswith(ending))

    assert buckets[0][0] == 1
    assert buckets[-1] == (float("inf"), total("http_request_duration_seconds", "_count"))
    assert all(fewer <= more for (_, fewer), (_, more) in pairwise(buckets))
    assert total("request_latency_ms", "_count") == buckets[-1][1]
    assert total("request_latency_ms", "_sum") == pytest.approx(1000 * total("http_request_duration_seconds", "_sum"))
    assert len(seconds) > len(milliseconds)


def test_python_says_its_version(server: Server) -> None:
    (labels,) = samples(server, "python_info")

    assert dict(labels)["version"] == sys.version.split()[0]


def test_the_processes_of_a_server_count_as_one(server: Server) -> None:
    memory = value(server, "process_resident_memory_bytes")

    assert 30 * MEBIBYTE < memory < value(server, "process_virtual_memory_bytes")
    assert 5 < value(server, "process_open_fds") < value(server, "process_max_fds")
    assert value(server, "process_max_fds") <= resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert value(server, "process_start_time_seconds") == pytest.approx(
        Path(f"/proc/{server.process.pid}").stat().st_mtime, abs=60
    )


def test_the_processor_time_of_a_worker_that_has_ended_still_counts(sqlite_url: str) -> None:
    with Server(sqlite_url) as server:
        for _ in range(50):
            server.deliver(payload())
        workers = server.worker_pids()
        before = value(server, "process_cpu_seconds_total")

        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        wait_until(lambda: len(new := server.worker_pids()) == 2 and not set(new) & set(workers), "new workers")
        server.wait_until_it_answers()

        assert value(server, "process_cpu_seconds_total") >= before


def test_a_round_is_counted_at_its_end_by_its_sums(client: FlaskClient) -> None:
    def counts() -> tuple[float, float]:
        found = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}
        created = [
            sample.value
            for sample in found["webhook_requests"].samples
            if sample.name.endswith("_total") and sample.labels["result"] == "created"
        ]
        posts = [
            sample.value
            for sample in found["http_requests"].samples
            if sample.name.endswith("_total") and sample.labels["method"] == "POST"
        ]
        return sum(created), sum(posts)

    with counts_added_up():
        for number in range(3):
            deliver(client, payload(message_id=f"m{number}"))
        within = counts()
    after = counts()

    assert within == (0.0, 0.0)
    assert after == (3.0, 3.0)


def test_what_a_round_has_counted_is_there_although_it_failed(client: FlaskClient) -> None:
    def fail_after_a_delivery() -> None:
        with counts_added_up():
            deliver(client, payload())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_a_delivery()
    deliver(client, payload(message_id="m2"))

    shown = client.get("/metrics").text
    assert 'webhook_requests_total{provider="native",result="created",source="native"} 2.0' in shown
