"""Reads that go to a streaming replica, and what never does."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import make_url
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import ProtocolError

from tests.storage.replicas import catch_up, is_unavailable, paused, stopped, value
from tests.support.app import application, deliver
from tests.support.commands import call_cli
from tests.support.deliveries import payload
from tests.support.load import Load
from tests.support.messages import MOMENT, message
from tests.support.postgresql import HOW_TO_ENABLE, PostgresqlServer, administration, own_replica, own_server
from tests.support.processes import environment
from tests.support.server import Server
from tests.support.stored import accept, opened, stored_ids
from tests.support.waiting import wait_until
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.deliveries import Contents
from webhook_service.domain.quarantine import Quarantined
from webhook_service.domain.receipts import Receipt
from webhook_service.domain.results import Reason
from webhook_service.storage.migrate import migrate
from webhook_service.storage.queries.messages import encode_message, insert_messages

PROMISE = 5.0  # seconds until a delivery or a read that can't be done is told so
READS = (
    "/messages",
    "/messages?q=Hello",
    "/messages/seen",
    "/receipts",
    "/feed",
    "/export",
    "/stats",
    "/stats/timeline?since=2025-01-15T00:00:00Z&until=2025-01-16T00:00:00Z",
    "/quarantine",
    "/quarantine/1",
)
WITH_AGE = tuple(path for path in READS if path.startswith(("/feed", "/stats")))


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgresqlServer]:
    """A migrated server; its folder has a short name, since a socket's path must."""
    with tempfile.TemporaryDirectory(prefix="webhook_service-") as directory, own_server(Path(directory)) as server:
        if server is None:
            pytest.skip(HOW_TO_ENABLE)
        migrate(parse_url(server.url))
        yield server


@pytest.fixture(scope="module")
def replica(primary: PostgresqlServer) -> Iterator[PostgresqlServer]:
    """A standby that streams from it."""
    with (
        tempfile.TemporaryDirectory(prefix="webhook_service-") as directory,
        own_replica(Path(directory), primary) as server,
    ):
        yield server


@pytest.fixture
def client(primary: PostgresqlServer, replica: PostgresqlServer) -> Iterator[FlaskClient]:
    """An application that writes to the one and reads from the other, which has caught up."""
    with application(primary.url, read_database_url=parse_url(replica.url)) as made:
        catch_up(primary, replica)
        yield made


def age(client: FlaskClient, path: str = "/stats") -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.get_json()["age_seconds"]


def answers(client: FlaskClient) -> dict[str, Any]:
    """Returns what each read says, but for how old it is."""
    said: dict[str, Any] = {}
    for path in READS:
        answer = client.get(path)
        said[path] = answer.get_json() or answer.text
        if isinstance(said[path], dict):
            said[path].pop("age_seconds", None)
    return said


def fill(primary: PostgresqlServer) -> None:
    """Stores something new for every read, past the application."""
    seen = message("seen") if "seen" not in stored_ids(primary.url) else message()
    receipt = Receipt(seen.message_id, "native", "read", "+1", MOMENT, MOMENT)
    raw = seen.message_id.encode()
    not_understood = Quarantined("native", raw, {}, "/webhook", Reason.NOT_JSON, {"body": ["No."]}, MOMENT)
    with opened(primary.url) as database:
        accept(database, Contents((seen,), (receipt,)), quarantined=not_understood)


def test_every_read_is_the_replicas(client: FlaskClient, primary: PostgresqlServer, replica: PostgresqlServer) -> None:
    fill(primary)
    catch_up(primary, replica)

    with paused(replica):
        before = answers(client)
        fill(primary)
        deliver(client, payload())
        meanwhile = answers(client)
    catch_up(primary, replica)
    after = answers(client)

    one_item = {"/messages/seen", "/quarantine/1"}
    assert meanwhile == before
    assert {path for path in READS if after[path] == before[path]} == one_item
    assert all("detail" not in after[path] for path in one_item)


def test_an_accepted_message_is_there_once_it_is_replayed_and_the_answers_say_how_old_they_are(
    client: FlaskClient, primary: PostgresqlServer, replica: PostgresqlServer
) -> None:
    sent = payload()
    path = f"/messages/{sent['message_id']}"
    deliver(client, payload())
    catch_up(primary, replica)  # one that has replayed nothing yet knows no age

    with paused(replica):
        delivered = deliver(client, sent)
        wait_until(lambda: age(client) > 0, "the replica to receive it")
        early = client.get(path).status_code
        ages = {each: age(client, each) for each in WITH_AGE}
        wait_until(lambda: all(age(client, each) > ages[each] + 0.1 for each in WITH_AGE), "the answers to age")
    catch_up(primary, replica)
    wait_until(lambda: age(client) == 0, "the answers to be new again")

    assert (delivered.status_code, early, client.get(path).status_code) == (200, 404, 200)
    assert [age(client, each) for each in WITH_AGE] == [0, 0, 0]


def test_only_a_service_with_a_replica_speaks_of_age(primary: PostgresqlServer) -> None:
    with application(primary.url) as alone:
        assert all("age_seconds" not in alone.get(path).get_json() for path in WITH_AGE)


def test_a_primary_in_the_place_of_the_replica_is_never_old(primary: PostgresqlServer) -> None:
    with application(primary.url, read_database_url=parse_url(primary.url)) as doubled:
        assert deliver(doubled, payload()).status_code == 200
        assert [age(doubled, path) for path in WITH_AGE] == [0, 0, 0]


def test_a_role_without_privileges_is_told_the_age_too(primary: PostgresqlServer, replica: PostgresqlServer) -> None:
    with administration(primary.url) as connection:
        connection.execute("CREATE ROLE reader LOGIN")
        connection.execute("GRANT pg_read_all_data TO reader")
    wait_until(lambda: value(replica, "SELECT count(*) FROM pg_roles WHERE rolname = 'reader'") == 1, "the role")
    as_reader = make_url(replica.url).set(drivername="postgresql+psycopg", username="reader")

    with application(primary.url, read_database_url=as_reader) as client:
        catch_up(primary, replica)
        with paused(replica):
            deliver(client, payload())
            wait_until(lambda: age(client) > 0, "the replica to receive it")
        catch_up(primary, replica)
        with stopped(primary):
            wait_until(lambda: age(client) > 0, "the replica to notice")
        wait_until(lambda: age(client) == 0, "the replica to stream again")


def test_without_its_primary_a_replica_that_knows_no_time_says_so(
    client: FlaskClient, primary: PostgresqlServer, replica: PostgresqlServer
) -> None:
    with administration(primary.url) as connection:
        connection.execute("CHECKPOINT")
    catch_up(primary, replica)
    with administration(replica.url) as connection:
        connection.execute("CHECKPOINT")

    with stopped(primary):
        with stopped(replica):
            pass
        wait_until(lambda: client.get("/stats").status_code == 200, "the replica to be back")
        unknown = age(client)
    wait_until(lambda: age(client) == 0, "the replica to stream again")

    assert unknown is None


def test_the_feed_of_a_replica_never_skips_and_never_repeats(
    client: FlaskClient, primary: PostgresqlServer, replica: PostgresqlServer
) -> None:
    place = client.get("/feed?limit=1000").get_json()["next"]
    before = len(stored_ids(primary.url))
    writers, batches = 3, 40

    def write(_writer: int) -> None:
        with opened(primary.url) as database:
            for _ in range(batches):
                with database.transaction() as transaction:
                    insert_messages(transaction, [encode_message(message()), encode_message(message())])

    def follow(place: str) -> Iterator[str]:
        while True:
            page = client.get(f"/feed?after={place}&limit=7").get_json()
            yield from (each["message_id"] for each in page["data"])
            place = page["next"]

    with ThreadPoolExecutor(writers) as threads:
        written = threads.map(write, range(writers))
        following = follow(place)
        seen = [next(following) for _ in range(writers * batches * 2)]
        list(written)

    assert seen == stored_ids(primary.url)[before:]


def test_a_quarantined_delivery_is_replayed_that_the_replica_has_not_seen(
    client: FlaskClient, primary: PostgresqlServer, replica: PostgresqlServer
) -> None:
    with paused(replica):
        deliver(client, payload(sender="nobody"))
        entry = value(primary, "SELECT max(id) FROM quarantine")
        shown = client.get(f"/quarantine/{entry}")
        replayed = client.post(f"/quarantine/{entry}/replay")

    assert shown.status_code == 404
    assert (replayed.status_code, list(replayed.get_json()["errors"])) == (422, ["from"])


def test_an_export_from_the_command_line_is_the_replicas(
    client: FlaskClient, primary: PostgresqlServer, replica: PostgresqlServer, tmp_path: Path
) -> None:
    environ = environment(primary.url, READ_DATABASE_URL=replica.url)
    before, unseen = payload(), payload()
    deliver(client, before)
    catch_up(primary, replica)

    with paused(replica):
        deliver(client, unseen)
        finished = call_cli("export", str(tmp_path / "all.ndjson"), environ=environ)

    exported = (tmp_path / "all.ndjson").read_text()
    assert finished.returncode == 0, finished.stderr
    assert before["message_id"] in exported
    assert unseen["message_id"] not in exported


@pytest.mark.parametrize("command", [["stats", "verify"], ["prune", "--older-than", "99999w", "--dry-run"]])
def test_a_command_on_the_written_database_needs_no_replica(command: list[str], primary: PostgresqlServer) -> None:
    environ = environment(primary.url, READ_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")

    finished = call_cli(*command, environ=environ)

    assert finished.returncode == 0, finished.stderr


def test_a_read_in_the_way_of_the_replay_is_503_and_told_to_come_again(
    client: FlaskClient, primary: PostgresqlServer, replica: PostgresqlServer
) -> None:
    locked = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'totals'::regclass"
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'totals'::regclass"
    with administration(replica.url) as connection:
        connection.execute("ALTER SYSTEM SET max_standby_streaming_delay = 0")
        connection.execute("SELECT pg_reload_conf()")

    with administration(primary.url) as holder, administration(primary.url) as migration, ThreadPoolExecutor(1) as own:
        with holder.transaction():
            holder.execute("LOCK TABLE totals IN ACCESS EXCLUSIVE MODE")
            migration.execute("SELECT pg_logical_emit_message(true, '', '')")  # commits, so that the lock is sent too
            wait_until(lambda: value(replica, locked) == 1, "the lock to be replayed")
            reading = own.submit(client.get, "/messages")
            wait_until(lambda: value(replica, waits) == 1, "the read to wait, with a lock on messages")
            with migration.transaction():
                migration.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
            answer = reading.result()
        catch_up(primary, replica)

    assert is_unavailable(answer)
    assert answer.get_json() == {"detail": "the replica gave up the read to keep up with the primary"}
    assert client.get("/messages").status_code == 200


def test_a_replica_that_has_not_replayed_a_migration_is_waited_for(
    client: FlaskClient, primary: PostgresqlServer, replica: PostgresqlServer
) -> None:
    def set_version(version: str) -> None:
        with administration(primary.url) as connection:
            connection.execute("UPDATE alembic_version SET version_num = %s", (version,))

    newest = value(primary, "SELECT version_num FROM alembic_version")
    set_version("0001")
    wait_until(lambda: value(replica, "SELECT version_num FROM alembic_version") == "0001", "the old schema")
    with paused(replica):
        set_version(newest)
        with application(primary.url, read_database_url=parse_url(replica.url)) as upgraded:
            ready, delivered = upgraded.get("/health/ready"), deliver(upgraded, payload())
            reads = [upgraded.get(path) for path in READS]

            with administration(replica.url) as connection:
                connection.execute("SELECT pg_wal_replay_resume()")
            wait_until(lambda: upgraded.get("/messages").status_code == 200, "the migration to be replayed")

    assert (ready.status_code, delivered.status_code) == (200, 200)
    assert all(map(is_unavailable, reads))
    assert reads[0].get_json() == {"detail": f"the replica is at migration 0001, not at {newest}"}


def reads_are_there(server: Server) -> bool:
    """Tells whether every read is answered whole; an export may break off in the moment that the replica is back."""
    try:
        return all(server.get(path).status in {200, 404} for path in READS)
    except ProtocolError:
        return False


def test_a_replica_that_is_away_costs_the_reads_and_no_delivery(
    primary: PostgresqlServer, replica: PostgresqlServer
) -> None:
    told: list[tuple[BaseHTTPResponse, float]] = []
    settings = {"READ_DATABASE_URL": replica.url, "WEB_CONCURRENCY": "1"}

    with Server(primary.url, **settings) as server, Load(server) as load:
        workers = server.worker_pids()
        for away in (stopped(replica), replica.frozen()):
            wait_until(lambda: reads_are_there(server), "the reads to be there")
            with away:
                for path in READS * 2:
                    begun = monotonic()
                    told.append((server.get(path), monotonic() - begun))
                load.wait_for_every_sender(200)
                ready = server.get("/health/ready").status
        wait_until(lambda: reads_are_there(server), "the reads to be back")
        workers_then = server.worker_pids()

    assert {answer.status for answer, _ in told} == {503}
    assert {answer.headers.get("Retry-After") for answer, _ in told} == {"5"}
    assert {answer.json()["detail"] for answer, _ in told} == {"the replica is not available"}
    assert max(seconds for _, seconds in told) < PROMISE
    assert ready == 200
    assert workers_then == workers
    assert load.statuses() == {200}
    assert load.slowest() < PROMISE
