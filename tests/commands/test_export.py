"""``webhook-service export`` and ``import``: messages out as files, and in again."""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.commands import call_cli
from tests.support.exports import ODD, SECOND, store, store_many
from tests.support.forked import run_cli
from tests.support.messages import MOMENT, as_sent, message
from tests.support.processes import environment
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.messages import Message, MessageFilter, MessageQuery, Order, Position
from webhook_service.schemas.messages import message_cursors
from webhook_service.storage.database import Database
from webhook_service.storage.migrate import migrate
from webhook_service.storage.queries.messages import find_message
from webhook_service.storage.queries.pages import list_messages


def all_messages(url: str) -> list[Message]:
    database = Database(parse_url(url), pool_size=1)
    with database.snapshot() as snapshot:
        found = list_messages(snapshot, MessageQuery(MessageFilter(), limit=100_000))
    database.close()
    return [as_sent(each) for each in found]


def test_what_is_exported_can_be_imported(database: Database, database_url: str, tmp_path: Path) -> None:
    store(database, *ODD)
    store_many(database)
    file, other = tmp_path / "messages.ndjson", f"sqlite:///{tmp_path / 'other.db'}"
    migrate(parse_url(other))

    wrote = run_cli("export", str(file), environ=environment(database_url))
    first = run_cli("import", str(file), environ=environment(other))
    second = run_cli("import", str(file), environ=environment(other))

    assert (wrote.returncode, wrote.stdout) == (0, "")
    assert f"2,503 messages in {file}" in wrote.stderr
    assert (first.returncode, first.stdout) == (0, "2,503 stored, 0 were there already\n")
    assert (second.returncode, second.stdout) == (0, "0 stored, 2,503 were there already\n")
    assert all_messages(other) == all_messages(database_url)
    assert not file.with_name("messages.ndjson.place").exists()


def test_the_command_takes_the_filters_and_the_form_of_the_list(
    database: Database, database_url: str, client: FlaskClient, tmp_path: Path
) -> None:
    store_many(database, 100)
    file = tmp_path / "some.csv"

    call_cli("export", str(file), "--from", "+1", "--since", "2025-01-15T10:00:05Z", environ=environment(database_url))

    shown = client.get("/export?format=csv&from=+1&since=2025-01-15T10:00:05Z")
    assert file.read_bytes() == shown.data
    assert len(file.read_bytes().splitlines()) > 10


def interrupt(file: Path, ids: Sequence[str], whole: bytes, **place: Any) -> None:
    """Leaves a file as an export does that was killed after 1,000 messages and some bytes."""
    good = b"".join(line + b"\n" for line in whole.splitlines()[:1000])
    file.write_bytes(good + b'{"message_id":"torn')
    cursor = message_cursors(MessageFilter(), Order.ASC).write(Position(MOMENT + SECOND * (999 // 3), ids[999]))
    reached = {"cursor": cursor, "format": "ndjson", "size": len(good), "messages": 1000, **place}
    file.with_name(f"{file.name}.place").write_text(json.dumps(reached))


def test_an_interrupted_export_goes_on_where_it_stopped(
    database: Database, database_url: str, client: FlaskClient, tmp_path: Path
) -> None:
    ids = store_many(database)
    whole = client.get("/export").data
    file = tmp_path / "messages.ndjson"
    interrupt(file, ids, whole)

    resumed = call_cli("export", str(file), environ=environment(database_url))

    assert resumed.returncode == 0
    assert f"2,500 messages in {file}" in resumed.stderr
    assert file.read_bytes() == whole
    assert [path.name for path in tmp_path.glob("messages*")] == ["messages.ndjson"]


@pytest.mark.parametrize(
    ("arguments", "complaint"), [(["--from", "+1"], "other filters"), (["--format", "csv"], "begun as ndjson")]
)
def test_an_interrupted_export_does_not_go_on_as_another(
    arguments: list[str], complaint: str, sqlite_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "messages.ndjson"
    interrupt(file, [f"{at}" for at in range(1000)], b"{}\n" * 1000)

    refused = call_cli("export", str(file), *arguments, environ=environment(sqlite_url))

    assert refused.returncode == 1
    assert complaint in refused.stderr


def test_an_interrupted_export_whose_file_lost_its_end_has_to_begin_anew(sqlite_url: str, tmp_path: Path) -> None:
    file = tmp_path / "messages.ndjson"
    interrupt(file, [f"{at}" for at in range(1000)], b"{}\n" * 1000)
    file.write_bytes(b"{}\n")

    refused = call_cli("export", str(file), environ=environment(sqlite_url))

    assert refused.returncode == 1
    assert f"remove it and {file}.place, and begin anew" in refused.stderr
    assert file.read_bytes() == b"{}\n"


@pytest.mark.parametrize("place", ["", "{", "[]", "{}", '{"cursor": 1, "format": "ndjson", "size": 2, "messages": 1}'])
def test_an_interrupted_export_of_which_nobody_knows_how_far_it_came_has_to_begin_anew(
    place: str, sqlite_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "messages.ndjson"
    file.write_text("{}\n")
    file.with_name("messages.ndjson.place").write_text(place)

    refused = call_cli("export", str(file), environ=environment(sqlite_url))

    assert refused.returncode == 1
    assert f"{file}.place is damaged: remove it and {file}, and begin anew" in refused.stderr
    assert file.read_text() == "{}\n"


def test_an_export_never_writes_over_a_file(sqlite_url: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.ndjson"
    file.write_text("mine")

    refused = call_cli("export", str(file), environ=environment(sqlite_url))

    assert refused.returncode == 1
    assert "exists" in refused.stderr
    assert file.read_text() == "mine"


def test_the_command_says_which_filter_is_bad(sqlite_url: str, tmp_path: Path) -> None:
    refused = call_cli("export", str(tmp_path / "x"), "--since", "yesterday", environ=environment(sqlite_url))

    assert refused.returncode == 2
    assert "--since" in refused.stderr
    assert "ISO 8601" in refused.stderr


def test_an_import_names_a_message_whose_id_is_taken_and_leaves_the_stored_one(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    store(database, message("m-1", text="Hello"))
    file = tmp_path / "messages.ndjson"
    call_cli("export", str(file), environ=environment(database_url))
    file.write_text(file.read_text().replace("Hello", "Goodbye"))

    imported = call_cli("import", str(file), environ=environment(database_url))

    assert (imported.returncode, imported.stdout) == (1, "0 stored, 0 were there already\n")
    assert "another message has this ID" in imported.stderr
    assert json.loads(Path(f"{file}.rejected").read_text())["message_id"] == "m-1"
    with database.snapshot() as snapshot:
        stored = find_message(snapshot, "m-1")
    assert stored is not None
    assert stored.text == "Hello"


@pytest.mark.parametrize("recipient", ["to_msisdn", "to_msisddn"])
def test_the_file_of_the_fastapi_service_can_be_imported(recipient: str, database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "original.db"
    original = sqlite3.connect(file)
    original.execute(
        f"CREATE TABLE messages (message_id TEXT PRIMARY KEY, from_msisdn TEXT NOT NULL, {recipient} TEXT NOT NULL,"
        " ts TEXT NOT NULL, text TEXT, created_at TEXT NOT NULL)"
    )
    rows = [
        ("m1", "+1", "+2", "2025-01-15T10:00:00Z", "Hello", "2025-01-15T10:00:01.5Z"),
        ("m2", "+1", "+3", "2025-01-15 11:00:00.000001", None, "2025-01-15 11:00:02"),
    ]
    original.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)", rows)
    original.commit()
    original.close()

    for expected in ("2 stored, 0 were there already\n", "0 stored, 2 were there already\n"):
        imported = call_cli("import", str(file), environ=environment(database_url))
        assert (imported.returncode, imported.stdout) == (0, expected)

    assert all_messages(database_url) == [
        message(
            "m1",
            sender="+1",
            recipient="+2",
            ts=MOMENT,
            received_at=MOMENT.replace(second=1, microsecond=500_000),
        ),
        message(
            "m2",
            sender="+1",
            recipient="+3",
            ts=MOMENT.replace(hour=11, microsecond=1),
            received_at=MOMENT.replace(hour=11, second=2),
            text=None,
        ),
    ]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "line 2: body: Not valid JSON: "),
        ("[]", "line 2: body: Not a JSON object."),
        ('{"message_id":"b","from":"+1","to":"+2"}', "line 2: ts: "),
        ('{"message_id":"","from":"+1","to":"+2","ts":"2025-01-15T10:00:00Z"}', "line 2: message_id: "),
    ],
)
def test_an_import_names_the_message_that_it_can_not_take(
    line: str, complaint: str, sqlite_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "bad.ndjson"
    file.write_text('{"message_id":"a","from":"+1","to":"+2","ts":"2025-01-15T10:00:00Z"}\n' + line + "\n")

    refused = call_cli("import", str(file), environ=environment(sqlite_url))

    assert refused.returncode == 1
    assert complaint in refused.stderr


def test_another_sqlite_file_is_no_import(sqlite_url: str, tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    other = sqlite3.connect(file)
    other.execute("CREATE TABLE something (id)")
    other.commit()
    other.close()

    refused = call_cli("import", str(file), environ=environment(sqlite_url))

    assert refused.returncode == 1
    assert "a SQLite database without messages" in refused.stderr
