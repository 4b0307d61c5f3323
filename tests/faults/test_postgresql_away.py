"""PostgreSQL that goes away under load and comes back."""

from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest

from tests.support.load import Load
from tests.support.postgresql import PostgresqlServer, administration
from tests.support.server import Server
from tests.support.stored import stored_ids
from tests.support.waiting import wait_until
from webhook_service.configuration.database_url import parse_url
from webhook_service.storage.migrate import migrate

PROMISE = 5.0  # seconds until a delivery that can't be stored is told so
PROMISE_TO_READERS = 10.0
READERS = 24  # more than there are threads
CUTS = 5


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_database_that_stops_and_starts_again_costs_503_and_nothing_else(
    mode: str, own_postgresql: PostgresqlServer
) -> None:
    migrate(parse_url(own_postgresql.url))

    with Server(own_postgresql.url) as server, Load(server) as load:
        load.wait_for_every_sender(200)
        own_postgresql.stop(mode)
        load.wait_for_every_sender(503, times=5)
        ready = server.get("/health/ready")
        own_postgresql.start()
        load.wait_for_every_sender(200, times=5)
        wait_until(lambda: server.get("/health/ready").status == 200, "the server to be ready again")
        workers = server.worker_pids()
        started = [line for line in server.log_lines() if line["message"].startswith("Booting worker")]

    assert (ready.status, ready.json()) == (503, {"detail": "the database is not available"})
    assert len(started) == len(workers)
    assert load.statuses() == {200, 503}
    assert all(answer.retry_after for answer in load.answers if answer.status == 503)
    assert load.slowest() < PROMISE
    stored = stored_ids(own_postgresql.url)
    assert load.acknowledged() <= set(stored) <= load.sent()
    assert len(stored) == len(set(stored))


def test_a_database_that_freezes_costs_503_in_time_and_nothing_else(own_postgresql: PostgresqlServer) -> None:
    migrate(parse_url(own_postgresql.url))

    with Server(own_postgresql.url) as server, Load(server) as load:
        load.wait_for_every_sender(200)
        with own_postgresql.frozen(), ThreadPoolExecutor(READERS) as threads:
            reads = list(threads.map(lambda _: timed_read(server), range(READERS)))
            load.wait_for_every_sender(503, times=5)
        load.wait_for_every_sender(200, times=5)
        wait_until(lambda: server.get("/stats").status == 200, "a read to be answered")

    assert {status for status, _ in reads} == {503}
    assert max(seconds for _, seconds in reads) < PROMISE_TO_READERS
    assert load.statuses() == {200, 503}
    assert load.slowest() < PROMISE
    stored = stored_ids(own_postgresql.url)
    assert load.acknowledged() <= set(stored) <= load.sent()
    assert len(stored) == len(set(stored))


def timed_read(server: Server) -> tuple[int, float]:
    """Reads once; returns the status and the seconds that it took."""
    begun = monotonic()
    return server.get("/stats").status, monotonic() - begun


def test_connections_that_are_cut_are_made_anew(postgresql_url: str) -> None:
    cut = """
        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'webhook_service'
    """

    with Server(postgresql_url) as server, Load(server) as load, administration(postgresql_url) as connection:
        for _ in range(CUTS):
            load.wait_for_every_sender(200)
            row = connection.execute(cut).fetchone()
            assert row is not None
            assert row[0] > 0
        load.wait_for_every_sender(200)

    assert load.statuses() <= {200, 503}
    assert load.slowest() < PROMISE
    stored = stored_ids(postgresql_url)
    assert load.acknowledged() <= set(stored) <= load.sent()
    assert len(stored) == len(set(stored))
