"""Messages out as files."""

import csv
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from tests.support.exports import ODD, store, store_many
from webhook_service.schemas.export_formats import defuse
from webhook_service.storage.database import Database


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
