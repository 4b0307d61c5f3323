"""A DATABASE_URL with several hosts: whichever of them is the primary is written to."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
from sqlalchemy import URL, make_url

from tests.support.app import application, deliver
from tests.support.commands import call_cli
from tests.support.deliveries import payload
from tests.support.load import Load
from tests.support.messages import message
from tests.support.postgresql import HOW_TO_ENABLE, PostgresqlServer, administration, own_replica, own_server
from tests.support.processes import environment
from tests.support.server import Server
from tests.support.stored import accept, opened, stored_ids
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.deliveries import Contents
from webhook_service.settings import Settings
from webhook_service.storage.database import Database
from webhook_service.storage.failover_ids import IDS_PER_TIMELINE
from webhook_service.storage.migrate import migrate
from webhook_service.storage.patience import PING_PATIENCE
from webhook_service.storage.queries.messages import newest_place, read_feed


@pytest.fixture
def primary() -> Iterator[PostgresqlServer]:
    """A migrated server; its folder has a short name, since a socket's path must."""
    with tempfile.TemporaryDirectory(prefix="webhook_service-") as directory, own_server(Path(directory)) as server:
        if server is None:
            pytest.skip(HOW_TO_ENABLE)
        migrate(parse_url(server.url))
        yield server


@pytest.fixture
def replica(primary: PostgresqlServer) -> Iterator[PostgresqlServer]:
    """Its replica."""
    with (
        tempfile.TemporaryDirectory(prefix="webhook_service-") as directory,
        own_replica(Path(directory), primary) as server,
    ):
        yield server


def url_of(*servers: PostgresqlServer, **parameters: str) -> str:
    """A URL with the hosts of several servers, in this order."""
    hosts = [str(make_url(server.url).query["host"]) for server in servers]
    query = {"host": ",".join(hosts), **parameters}
    return URL.create("postgresql", "postgres", database="postgres", query=query).render_as_string(hide_password=False)


@pytest.mark.parametrize("parameters", [{}, {"target_session_attrs": "read-write"}], ids=["by itself", "chosen"])
def test_the_primary_is_found_whichever_host_is_named_first(
    parameters: dict[str, str], primary: PostgresqlServer, replica: PostgresqlServer
) -> None:
    for servers in ((primary, replica), (replica, primary)):
        settings = Settings.from_env({"DATABASE_URL": url_of(*servers, **parameters)})
        content = payload()

        migrate(settings.database_url)
        with application(settings.database_url.render_as_string(hide_password=False)) as client:
            assert deliver(client, content).status_code == 200
            assert client.get(f"/messages/{content['message_id']}").status_code == 200
            assert client.get("/health/ready").status_code == 200
        assert content["message_id"] in stored_ids(primary.url)


def test_the_commands_find_it_too(
    primary: PostgresqlServer, replica: PostgresqlServer, postgresql_programs: Path
) -> None:
    environ = environment(url_of(replica, primary))

    for command in (("migrate",), ("config", "check"), ("stats", "verify"), ("prune", "--older-than", "90d")):
        finished = call_cli(*command, environ=environ)
        assert finished.returncode == 0, finished.stderr
    dump = subprocess.run(
        [postgresql_programs / "pg_dump", "--schema-only", url_of(replica, primary, target_session_attrs="read-write")],
        capture_output=True,
        check=False,
    )
    assert (dump.returncode, b"CREATE TABLE public.messages" in dump.stdout) == (0, True), dump.stderr


def test_a_host_that_says_nothing_is_waited_for_once(primary: PostgresqlServer, replica: PostgresqlServer) -> None:
    url = Settings.from_env({"DATABASE_URL": url_of(replica, primary)}).database_url
    database = Database(url, pool_size=2)

    def time_to_store() -> float:
        begun = monotonic()
        accept(database, Contents((message(),), ()))
        return monotonic() - begun

    try:
        with replica.frozen():
            first = time_to_store()
            with administration(primary.url) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'webhook_service'"
                )
            second = time_to_store()
    finally:
        database.close()

    assert first > PING_PATIENCE - 0.5 > second


def test_deliveries_go_on_with_the_replica_once_that_is_promoted(
    primary: PostgresqlServer, replica: PostgresqlServer
) -> None:
    with Server(url_of(primary, replica)) as server, Load(server) as load:
        load.wait_for_every_sender(200)
        primary.stop("fast")  # which waits until the replica has everything
        load.wait_for_every_sender(503)
        with administration(replica.url) as connection:
            connection.execute("SELECT pg_promote()")
        load.wait_for_every_sender(200, times=5)
        read = server.get("/feed").status

    assert load.statuses() == {200, 503}
    assert load.acknowledged() <= set(stored_ids(replica.url))
    assert read == 200


def test_a_reader_of_the_feed_who_saw_what_a_promoted_replica_never_had_misses_nothing_after_it(
    primary: PostgresqlServer, replica: PostgresqlServer
) -> None:
    replica.stop("fast")
    with opened(primary.url) as database:
        for _ in range(40):  # PostgreSQL gives a promoted replica's sequence a lead of 32
            accept(database, Contents((message(),), ()))
        with database.snapshot() as snapshot:
            seen = newest_place(snapshot)
    primary.stop("immediate")
    replica.start()
    with administration(replica.url) as connection:
        connection.execute("SELECT pg_promote()")
    new = [message() for _ in range(3)]

    with opened(replica.url) as database:
        for each in new:
            accept(database, Contents((each,), ()))
    with opened(replica.url) as database:  # whose connections find that it has been seen to
        accept(database, Contents((last := message(),), ()))
        with database.snapshot() as snapshot:
            read = read_feed(snapshot, seen, 10)

    assert [each.message_id for each in read] == [each.message_id for each in (*new, last)]
    assert [each.id for each in read] == [IDS_PER_TIMELINE + 1 + index for index in range(4)]


def test_a_frozen_primary_is_told_from_a_replica_that_answers(
    primary: PostgresqlServer, replica: PostgresqlServer
) -> None:
    with Server(url_of(primary, replica)) as server, Load(server) as load:
        load.wait_for_every_sender(200)
        with primary.frozen():
            load.wait_for_every_sender(503, times=2)
            begun = monotonic()
            read = server.get("/stats").status
            seconds = monotonic() - begun
        load.wait_for_every_sender(200)

    assert load.slowest() < 6
    assert (read, seconds < 10) == (503, True)
