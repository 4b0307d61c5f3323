"""PgBouncer in transaction mode between the service and PostgreSQL: each transaction may run in another session."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, make_url, text

from tests.support.commands import call_cli
from tests.support.deliveries import payload, to_bytes
from tests.support.load import Load
from tests.support.postgresql import administration
from tests.support.processes import ROOT, environment
from tests.support.server import Server, free_port
from tests.support.stored import opened, stored_ids
from tests.support.waiting import wait_until
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.providers.native import sign
from webhook_service.providers.whatsapp import SIGNATURE_HEADER

PROGRAM = "/usr/sbin/pgbouncer"
SESSIONS = 3  # fewer than the service has connections, so that they share
SETTINGS = ("timezone", "synchronous_commit", "statement_timeout", "lock_timeout", "transaction_read_only")
SECRET = "the-app-secret-of-the-tests"

pytestmark = pytest.mark.skipif(not Path(PROGRAM).exists(), reason="no PgBouncer: 'apt-get install pgbouncer'")


@contextmanager
def pooled(server_url: str) -> Iterator[str]:
    """The URL of a database through PgBouncer, which is configured by deploy/ha but for what is a test's own."""
    database = make_url(server_url)
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="webhook_service-") as name:
        directory = Path(name)
        text = (ROOT / "deploy" / "ha" / "pgbouncer.ini").read_text()
        for shipped, own in (
            ("webhook_service = host=127.0.0.1 port=5432", f"* = host={database.query['host']} user=postgres"),
            ("listen_port = 6432", f"listen_port = {port}"),
            ("unix_socket_dir = /run/postgresql", "unix_socket_dir ="),
            ("auth_type = scram-sha-256", "auth_type = any"),
            ("auth_file = /etc/pgbouncer/userlist.txt", ""),
            ("default_pool_size = 20", f"default_pool_size = {SESSIONS}"),
        ):
            assert shipped in text
            text = text.replace(shipped, own)
        configuration = directory / "pgbouncer.ini"
        configuration.write_text(text)
        account = {}
        if os.geteuid() == 0:
            shutil.chown(directory, "postgres")
            account = {"user": "postgres", "group": "postgres"}
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen([PROGRAM, configuration], stdout=log, stderr=log, **account)  # type: ignore[call-overload]
        url = URL.create("postgresql", "postgres", host="127.0.0.1", port=port, database=database.database)
        try:
            yield url.render_as_string(hide_password=False)
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def pooled_url(postgresql_url: str) -> Iterator[str]:
    """A migrated database through PgBouncer, whose sessions have nothing by themselves that the service asks for."""
    name = make_url(postgresql_url).database
    with administration(postgresql_url) as connection:
        for setting, value in (("timezone", "Asia/Tokyo"), ("synchronous_commit", "off"), ("statement_timeout", "0")):
            connection.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'".encode())
    with pooled(postgresql_url) as url:
        wait_until(lambda: _answers(url), "PgBouncer to answer")
        yield url


def _answers(url: str) -> bool:
    try:
        with opened(url) as database, database.snapshot():
            return True
    except StorageUnavailable:
        return False


def settings_of(connection: Connection) -> list[str]:
    return [str(connection.scalar(text(f"SHOW {name}"))) for name in SETTINGS]


def test_every_transaction_has_the_settings_of_the_service(pooled_url: str) -> None:
    with opened(pooled_url) as database:
        for _ in range(2 * SESSIONS):
            with database.transaction() as writer, database.snapshot() as reader:
                written, read = settings_of(writer), settings_of(reader)
                isolation = reader.scalar(text("SHOW transaction_isolation"))

            assert written == ["UTC", "on", "4s", "1s", "off"]
            assert (read, isolation) == (["UTC", "on", "30s", "30s", "on"], "repeatable read")
        with administration(pooled_url) as other:
            row = other.execute("SELECT current_setting('timezone'), current_setting('statement_timeout')").fetchone()

    assert row == ("Asia/Tokyo", "0")


def test_deliveries_reads_and_the_feed_go_through_it(pooled_url: str) -> None:
    content = payload()
    other = {**content, "text": "another"}

    with Server(pooled_url) as server:
        statuses = [server.deliver(each).status for each in (content, content, other)]
        found = server.get(f"/messages/{content['message_id']}").json()
        paths = ("/messages", "/feed", "/export", "/stats", "/quarantine", "/metrics", "/health/ready")
        read = {path: server.get(path).status for path in paths}
        with Load(server) as load:
            for _ in range(5):
                load.wait_for_every_sender(200, times=10)
        stored = stored_ids(pooled_url)
        feed = server.get("/feed?limit=1000").json()["data"]

    assert statuses[:2] == [200, 200]
    assert (found["text"], found["ts"]) == ("Hello", "2025-01-15T10:00:00Z")
    assert read == dict.fromkeys(paths, 200)
    assert load.statuses() == {200}
    assert set(stored) == load.acknowledged() | {content["message_id"]}
    assert len(stored) == len(set(stored))
    assert [message["message_id"] for message in feed] == stored[:1000]


def test_two_servers_on_it_store_each_message_once_in_the_order_of_the_feed(pooled_url: str) -> None:
    with Server(pooled_url) as first, Server(pooled_url) as second, Load(first, second) as load:
        seen: list[str] = []
        after = ""
        while len(seen) < 500:
            page = first.get(f"/feed?limit=50&after={after}").json()
            seen += [message["message_id"] for message in page["data"]]
            after = page["next"]

    assert seen == stored_ids(pooled_url)[: len(seen)]
    assert load.statuses() == {200}


def test_quarantine_and_the_commands_go_through_it(pooled_url: str) -> None:
    settings = {"WHATSAPP_APP_SECRET": SECRET, "WHATSAPP_VERIFY_TOKEN": "token"}
    environ = environment(pooled_url, **settings)
    raw = to_bytes({"object": "something else"})

    with Server(pooled_url, **settings) as server:
        server.deliver(payload())
        kept = server.post("/webhook/whatsapp", raw, {SIGNATURE_HEADER: f"sha256={sign(SECRET, raw)}"}).status
        (entry,) = server.get("/quarantine").json()["data"]
        replayed = server.post(f"/quarantine/{entry['id']}/replay").status
        commands = [
            call_cli(*command, environ=environ)
            for command in (
                ("migrate",),
                ("stats", "verify"),
                ("quarantine", "replay"),
                ("quarantine", "drop", str(entry["id"])),
                ("prune", "--older-than", "1d"),
            )
        ]

    assert (kept, replayed) == (200, 422)
    assert [each.returncode for each in commands] == [0, 0, 1, 0, 0]  # what is not understood stays
    assert stored_ids(pooled_url) == []
