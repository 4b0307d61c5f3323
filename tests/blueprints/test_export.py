"""Messages out as files, and in again."""

import csv
import io
import json
import sqlite3
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from tests.support.commands import call_cli
from tests.support.messages import MOMENT, as_sent, message
from tests.support.processes import environment, run_cli
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.messages import Message, MessageFilter, MessageQuery, Order, Position
from webhook_service.schemas.export_formats import defuse
from webhook_service.schemas.messages import message_cursors
from webhook_service.storage.database import Database
from webhook_service.storage.migrate import migrate
from webhook_service.storage.queries.batches import BATCH
from webhook_service.storage.queries.messages import encode_message, find_message, insert_messages
from webhook_service.storage.queries.pages import list_messages

SECOND = timedelta(seconds=1)
ODD = [
    message(
        "é/1",
        text='=HYPERLINK("http://evil")\r\n"quoted", comma',
        type="image",
        provider="whatsapp",
        extra={"ä": [1, {"b": "\u0000"}]},
    ),
    message("é/2", text=None, ts=MOMENT + SECOND, received_at=MOMENT.replace(microsecond=5)),
    message("é/3", text="", sender="Support", ts=MOMENT + SECOND * 2),
]


def store(database: Database, *messages: Message) -> None:
    with database.transaction() as transaction:
        insert_messages(transaction, [encode_message(each) for each in messages])


def all_messages(url: str) -> list[Message]:
    database = Database(parse_url(url), pool_size=1)
    with database.snapshot() as snapshot:
        found = list_messages(snapshot, MessageQuery(MessageFilter(), limit=100_000))
    database.close()
    return [as_sent(each) for each in found]


def store_many(database: Database, number: int = 2 * BATCH + 500) -> list[str]:
    store(
        database,
        *(
            message(f"{at:05}", ts=MOMENT + SECOND * (at // 3), sender=f"+{at % 2}", text=f"{at}")
            for at in range(number)
        ),
    )
    return [f"{at:05}" for at in range(number)]


def exported(client: FlaskClient, **parameters: Any) -> list[dict[str, Any]]:
    answer = client.get(f"/export?{urlencode(parameters)}")
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.get_data(as_text=True).splitlines()]


def test_an_export_has_every_message_as_it_is_shown(client: FlaskClient, database: Database) -> None:
    store(database, *ODD)

    assert exported(client) == client.get("/messages").get_json()["data"]


def test_an_export_of_many_batches_has_each_message_once(client: FlaskClient, database: Database) -> None:
    ids = store_many(database)

    assert [each["message_id"] for each in exported(client)] == ids


@pytest.mark.parametrize(
    "wanted",
    [
        {"from": "+1"},
        {"q": "19"},
        {"since": "2025-01-15T10:00:05Z", "until": "2025-01-15T10:01:00Z"},
        {"provider": "none"},
    ],
    ids=str,
)
def test_an_export_takes_the_filters_of_the_list(
    wanted: dict[str, str], client: FlaskClient, database: Database
) -> None:
    store_many(database, 300)
    listed, cursor = [], "*"
    while cursor:
        page = client.get(f"/messages?{urlencode({**wanted, 'limit': 100, 'cursor': cursor})}").get_json()
        listed += page["data"]
        cursor = page["next_cursor"]

    assert exported(client, **wanted) == listed


def test_an_export_goes_on_from_a_cursor(client: FlaskClient, database: Database) -> None:
    ids = store_many(database, 50)
    cursor = client.get("/messages?limit=20").get_json()["next_cursor"]

    assert [each["message_id"] for each in exported(client, cursor=cursor)] == ids[20:]


def test_an_export_is_a_file_to_be_saved(client: FlaskClient) -> None:
    empty, table = client.get("/export"), client.get("/export?format=csv")

    assert (empty.data, empty.content_type) == (b"", "application/x-ndjson")
    assert table.data == b"message_id,from,to,ts,text,provider,type,received_at,extra,source\r\n"
    assert table.content_type == "text/csv; charset=utf-8; header=present"
    assert table.headers["Content-Disposition"] == 'attachment; filename="messages.csv"'


@pytest.mark.parametrize(("query", "field"), [("format=xml", "format"), ("cursor=x", "cursor"), ("since=x", "since")])
def test_an_export_with_a_bad_parameter_is_refused(query: str, field: str, sqlite_client: FlaskClient) -> None:
    answer = sqlite_client.get(f"/export?{query}")

    assert answer.status_code == 422
    assert list(answer.get_json()["errors"]) == [field]


def test_an_export_of_a_database_that_is_away_is_unavailable(sqlite_client: FlaskClient, tmp_path: Path) -> None:
    (tmp_path / "app.db").unlink()

    assert sqlite_client.get("/export").status_code == 503


def test_a_table_holds_what_the_messages_hold_and_no_formula(client: FlaskClient, database: Database) -> None:
    store(database, *ODD)

    rows = list(csv.DictReader(io.StringIO(client.get("/export?format=csv").get_data(as_text=True), newline="")))

    assert [row["message_id"] for row in rows] == ["é/1", "é/2", "é/3"]
    assert rows[0]["text"] == '\'=HYPERLINK("http://evil")\r\n"quoted", comma'
    assert json.loads(rows[0]["extra"]) == {"ä": [1, {"b": "\u0000"}]}
    assert (rows[0]["from"], rows[0]["to"]) == ("+4915112345678", "+4930123456")
    assert rows[1]["received_at"] == "2025-01-15T10:00:00.000005Z"


@pytest.mark.parametrize("cell", ["=1+1", "+1+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "+", "\uff1d1", "+49 151"])
def test_a_cell_that_a_spreadsheet_may_run_is_defused(cell: str) -> None:
    assert defuse(cell) == "'" + cell


@given(st.text())
def test_defusing_only_ever_puts_a_quote_before(cell: str) -> None:
    assert defuse(cell) in {cell, "'" + cell}
    assert not (defuse(cell) or "").startswith(("=", "@", "-", "\t", "\r"))


@pytest.mark.parametrize("cell", ["+4915112345678", "Hello", "", None, "1=1", "'=1"])
def test_a_cell_that_no_spreadsheet_runs_stays_as_it_is(cell: str | None) -> None:
    assert defuse(cell) == cell


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

    refused = run_cli("export", str(file), environ=environment(sqlite_url))

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
