"""PostgreSQL that goes away under load and comes back."""

import pytest

from tests.support.load import Load
from tests.support.postgresql import PostgresqlServer, administration
from tests.support.server import Server
from tests.support.stored import stored_ids
from webhook_service.settings import parse_url
from webhook_service.storage.migrate import migrate

PROMISE = 5.0  # seconds until a delivery that can't be stored is told so
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
        workers, ready_again = server.worker_pids(), server.get("/health/ready").status
        started = [line for line in server.log_lines() if line["message"].startswith("Booting worker")]

    assert (ready.status, ready.json()) == (503, {"detail": "the database is not available"})
    assert ready_again == 200
    assert len(started) == len(workers)
    assert load.statuses() == {200, 503}
    assert all(answer.retry_after for answer in load.answers if answer.status == 503)
    assert load.slowest() < PROMISE
    stored = stored_ids(own_postgresql.url)
    assert load.acknowledged() <= set(stored) <= load.sent()
    assert len(stored) == len(set(stored))


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
