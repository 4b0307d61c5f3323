"""A 200 means that a synchronous replica has the message, where there is one, whatever cuts the wait for it short."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import pytest

from tests.support.commands import call_cli
from tests.support.deliveries import payload
from tests.support.postgresql import HOW_TO_ENABLE, PostgresqlServer, administration, own_replica, own_server
from tests.support.processes import environment
from tests.support.server import Server
from tests.support.stored import stored_ids
from tests.support.waiting import wait_until
from webhook_service.configuration.database_url import parse_url
from webhook_service.storage.migrate import migrate
from webhook_service.storage.queries.replication import NO_SYNC_REPLICA

WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'webhook_service'"


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgresqlServer]:
    """A migrated server whose commits wait for a replica from now on; its folder has a short name."""
    with tempfile.TemporaryDirectory(prefix="webhook_service-") as directory, own_server(Path(directory)) as server:
        if server is None:
            pytest.skip(HOW_TO_ENABLE)
        migrate(parse_url(server.url))
        with administration(server.url) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
        yield server


@pytest.fixture(scope="module")
def replica(primary: PostgresqlServer) -> Iterator[PostgresqlServer]:
    """Its synchronous replica."""
    with (
        tempfile.TemporaryDirectory(prefix="webhook_service-") as directory,
        own_replica(Path(directory), primary) as server,
    ):
        yield server


@pytest.fixture
def server(primary: PostgresqlServer, replica: PostgresqlServer) -> Iterator[Server]:
    """The service, which has stored a message on both."""
    with Server(primary.url, WEB_CONCURRENCY="1") as running:
        wait_until(lambda: running.deliver(payload()).status == 200, "the replica to confirm a message")
        yield running


def is_stored_once_cut_short(primary: PostgresqlServer, function: str, content: dict[str, object]) -> bool:
    """Ends what waits for the replica, such as the count of an earlier delivery; True once the message is there."""
    with administration(primary.url) as connection:
        connection.execute(f"SELECT {function}(pid) FROM ({WAITING}) AS waiting")
    return content["message_id"] in stored_ids(primary.url)


@pytest.mark.parametrize("function", ["pg_terminate_backend", "pg_cancel_backend"])
def test_a_message_that_only_the_primary_has_is_not_acknowledged(
    function: str, server: Server, primary: PostgresqlServer, replica: PostgresqlServer
) -> None:
    content = payload()
    replica.stop("fast")
    try:
        with ThreadPoolExecutor(1) as threads:
            first = threads.submit(server.deliver, content)
            wait_until(lambda: is_stored_once_cut_short(primary, function, content), "the primary to show the message")
            cut_short = first.result().status
        repeated = server.deliver(content).status
    finally:
        replica.start()
    wait_until(lambda: server.deliver(content).status == 200, "the repetition to be acknowledged")

    assert (cut_short, repeated) == (503, 503)
    assert content["message_id"] in stored_ids(replica.url)


def test_a_replica_that_is_away_makes_no_delivery_wait_over_6_seconds(
    server: Server, primary: PostgresqlServer, replica: PostgresqlServer
) -> None:
    contents = [payload() for _ in range(8)]
    replica.stop("fast")
    try:
        with ThreadPoolExecutor(len(contents)) as threads:
            answers = list(threads.map(timed_delivery, [server] * len(contents), contents))
    finally:
        replica.start()
    wait_until(lambda: server.deliver(contents[0]).status == 200, "the replica to confirm a message")

    assert {status for status, _ in answers} == {503}
    assert max(seconds for _, seconds in answers) < 6


def timed_delivery(server: Server, content: dict[str, object]) -> tuple[int, float]:
    """Delivers once; returns the status and the seconds that it took."""
    begun = monotonic()
    return server.deliver(content).status, monotonic() - begun


def test_a_primary_that_waits_for_no_replica_is_warned_about_where_one_is_required(postgresql_url: str) -> None:
    settings = {"REQUIRE_SYNC_REPLICA": "true"}

    with Server(postgresql_url, **settings) as server:
        ready = server.get("/health/ready").json()
        wait_until(lambda: logged(server) != [], "the warning in the log")
        lines = logged(server)
    checked = call_cli("config", "check", environ=environment(postgresql_url, **settings))

    assert ready == {"status": "ok", "warnings": [NO_SYNC_REPLICA]}
    assert [line["level"] for line in lines] == ["WARNING"]
    assert (checked.returncode, checked.stderr) == (0, f"warning: {NO_SYNC_REPLICA}\n")


def test_a_primary_that_waits_for_a_replica_is_not_warned_about(server: Server, primary: PostgresqlServer) -> None:
    with Server(primary.url, REQUIRE_SYNC_REPLICA="true") as requiring:
        ready = requiring.get("/health/ready").json()
    checked = call_cli("config", "check", environ=environment(primary.url, REQUIRE_SYNC_REPLICA="true"))

    assert ready == {"status": "ok"}
    assert "warning" not in checked.stdout + checked.stderr


def logged(server: Server) -> list[dict[str, object]]:
    """The lines of the log that warn."""
    return [line for line in server.log_lines() if line["message"] == NO_SYNC_REPLICA]
