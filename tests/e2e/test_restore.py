"""Backups under load and what is restored from them, by the very commands of ``docs/operations.md``."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from tests.support.deliveries import payload
from tests.support.load import Load
from tests.support.messages import MOMENT, message
from tests.support.metrics import value
from tests.support.postgresql import administration
from tests.support.processes import BIN, ROOT, environment
from tests.support.server import Server
from tests.support.stored import is_intact, opened, stored_ids
from webhook_service.storage.queries.messages import encode_message, insert_messages
from webhook_service.storage.queries.pages import SCANNED

DOCUMENT = (ROOT / "docs" / "operations.md").read_text()
RARE = "zeppelin"
BEFORE_LOAD = {f"before-{at}" for at in range(SCANNED + 1)}
FOUND_BY_INDEX = f"before-{SCANNED}"
RESENT = 20  # deliveries of each kind that are sent again


def blocks(heading: str) -> list[str]:
    """The shell commands under a heading of the document, a block each."""
    section = DOCUMENT.partition(f"\n### {heading}\n")[2].partition("\n### ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


@dataclass(frozen=True)
class Inbox:
    """A database that is served, how to restore it, and the URL at which the restored one is then."""

    heading: str
    url: str
    restored_url: str
    folder: Path
    environ: Mapping[str, str]
    replace: tuple[str, str] = ("", "")

    def back_up(self) -> None:
        """The first block of its section."""
        self._run(blocks(self.heading)[0], self.url)

    def restore(self) -> None:
        """The second block, and the one for both databases."""
        self._run(blocks(self.heading)[1].replace(*self.replace), self.url)
        self._run(blocks("After either")[0], self.restored_url)

    def _run(self, commands: str, url: str) -> None:
        environ = environment(url, **self.environ)
        ran = subprocess.run(
            ["sh", "-e", "-c", commands], cwd=self.folder, env=environ, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, f"{commands}\n{ran.stdout}\n{ran.stderr}"


@pytest.fixture
def sqlite_inbox(sqlite_url: str, tmp_path: Path) -> Inbox:
    """One whose restored file takes the place of the old one."""
    file = tmp_path / "data" / "app.db"
    file.parent.mkdir()
    Path(make_url(sqlite_url).database or "").rename(file)
    url = f"sqlite:///{file}"
    return Inbox("SQLite", url, url, tmp_path, {"PATH": f"{BIN}:/usr/bin:/bin"})


@pytest.fixture
def postgresql_inbox(postgresql_url: str, postgresql_programs: Path, tmp_path: Path) -> Iterator[Inbox]:
    """One that is restored into a database of another name."""
    restored = f"{make_url(postgresql_url).database}_restored"
    parts: dict[str, Any] = conninfo_to_dict(postgresql_url)
    variables = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    yield Inbox(
        "PostgreSQL",
        postgresql_url,
        make_url(postgresql_url).set(database=restored).render_as_string(hide_password=False),
        tmp_path,
        {
            "PATH": f"{BIN}:{postgresql_programs}:/usr/bin:/bin",
            **{variables[name]: str(part) for name, part in parts.items() if name in variables},
        },
        ("restored", restored),
    )
    with administration(postgresql_url) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(restored)))


@pytest.fixture(params=["sqlite", "postgresql"])
def inbox(request: pytest.FixtureRequest) -> Inbox:
    """One of each kind."""
    made: Inbox = request.getfixturevalue(f"{request.param}_inbox")
    return made


def store_more_than_a_search_goes_along(url: str) -> None:
    """Messages before all of the load, of which the last has a word that only the index of trigrams finds."""
    texts = [*["common"] * SCANNED, f"a {RARE} at last"]
    rows = [
        encode_message(message(f"before-{at}", text=text, ts=MOMENT - timedelta(days=1) + timedelta(seconds=at)))
        for at, text in enumerate(texts)
    ]
    with opened(url) as database, database.transaction() as transaction:
        insert_messages(transaction, rows)


def end_of_feed(server: Server) -> str:
    """The place of a consumer that has read everything."""
    place = ""
    while (page := server.get(f"/feed?limit=1000&after={place}").json())["data"]:
        place = page["next"]
    return place


def ids(page: Any) -> list[str]:
    return [each["message_id"] for each in page["data"]]


def test_a_backup_taken_under_load_restores_all_that_was_acknowledged_before_it(inbox: Inbox) -> None:
    store_more_than_a_search_goes_along(inbox.url)

    with Server(inbox.url) as server:
        with Load(server) as load:
            load.wait_for_every_sender(200)
            before = load.acknowledged()
            inbox.back_up()
            load.wait_for_every_sender(200)
        place = end_of_feed(server)
        server.kill()
    inbox.restore()

    assert load.statuses() == {200}
    stored = stored_ids(inbox.restored_url)
    assert len(set(stored)) == len(stored)
    assert before <= set(stored) - BEFORE_LOAD < load.acknowledged()
    assert set(stored) >= BEFORE_LOAD
    assert is_intact(inbox.restored_url)
    with Server(inbox.restored_url) as restored:
        assert restored.get("/stats").json()["total_messages"] == len(stored)
        assert ids(restored.get(f"/messages?q={RARE}").json()) == [FOUND_BY_INDEX]
        assert_takes_deliveries(restored, load, set(stored), place)


def assert_takes_deliveries(restored: Server, load: Load, stored: set[str], place: str) -> None:
    """What is there is a duplicate, what is not is stored, and a consumer that was further misses nothing of it."""
    sent = [answer.content for answer in load.answers]
    kept = [content for content in sent if content["message_id"] in stored][-RESENT:]
    lost = [content for content in sent if content["message_id"] not in stored][:RESENT]
    fresh = [*lost, payload()]

    assert {restored.deliver(content).status for content in (*kept, *fresh)} == {200}

    assert value(restored, "webhook_requests_total", provider="native", result="duplicate") == len(kept)
    assert value(restored, "webhook_requests_total", provider="native", result="created") == len(fresh)
    seen = ids(restored.get(f"/feed?limit=1000&after={place}").json())
    assert seen == [content["message_id"] for content in fresh]
