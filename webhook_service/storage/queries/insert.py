"""Inserts many rows into a table by one statement, and tells which of them are new.

SQLAlchemy's own bulk insert builds its statement anew for each number of rows. On the write path that costs more than
storing the rows does, so the statements are made here, and the driver gets plain values.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache
from itertools import chain, islice
from typing import Any

import orjson
from sqlalchemy import JSON, Table

from webhook_service.domain.results import Outcome
from webhook_service.storage.models import UtcDateTime
from webhook_service.storage.postgresql import TAKE_TURN
from webhook_service.storage.writing import Executor

Value = str | int | None
Row = tuple[Value, ...]


# The most parameters of a statement: https://www.sqlite.org/limits.html#max_variable_number
SQLITE_PARAMETERS = 32_766


@lru_cache(maxsize=256)  # items of a round share moments
def timestamp_value(moment: datetime) -> str:
    """Writes an aware UTC datetime in the way that both databases read: sessions on PostgreSQL are in UTC here."""
    return moment.replace(tzinfo=None).isoformat(" ", "microseconds")


def json_value(value: Mapping[str, Any] | None) -> str | None:
    """Writes an object for a column of JSON. Raises TypeError for what no JSON in UTF-8 holds."""
    return None if value is None else orjson.dumps(value).decode()


def rows_in_a_statement(columns: tuple[str, ...]) -> int:
    """Returns how many rows ``insert_new`` can store by one statement on either database; more need a transaction."""
    return SQLITE_PARAMETERS // len(columns)


def insert_new(
    executor: Executor, table: Table, columns: tuple[str, ...], key_length: int, rows: Sequence[Row]
) -> list[Outcome]:
    """Inserts the rows that no unique constraint forbids, and returns the outcome of each, in order.

    Each row has a value for each of ``columns``, of which the first ``key_length`` make a row unique. The constraint
    decides, in the statement that inserts, so the first write of a key wins over any other in these rows, in this
    transaction or in another process.
    """
    if not rows:
        return []
    insert = _insert_on_postgresql if executor.dialect.name == "postgresql" else _insert_on_sqlite
    created = insert(executor, table, columns, columns[:key_length], rows)
    outcomes = []
    for row in rows:
        key = row[:key_length]
        outcomes.append(Outcome.CREATED if key in created else Outcome.DUPLICATE)
        created.discard(key)
    return outcomes


def _insert_on_postgresql(
    executor: Executor, table: Table, columns: tuple[str, ...], key: tuple[str, ...], rows: Sequence[Row]
) -> set[Row]:
    # This is one parameter, however many rows there are: psycopg takes longer for single values or arrays.
    records = json.dumps([dict(zip(columns, row, strict=True)) for row in rows])
    return set(map(tuple, executor.exec_driver_sql(_from_records(table, columns, key), (records,))))


def _insert_on_sqlite(
    executor: Executor, table: Table, columns: tuple[str, ...], key: tuple[str, ...], rows: Sequence[Row]
) -> set[Row]:
    created: set[Row] = set()
    remaining = iter(rows)
    while chunk := list(islice(remaining, rows_in_a_statement(columns))):
        values = tuple(chain.from_iterable(chunk))
        inserted = executor.exec_driver_sql(_from_values(table, columns, len(chunk)), values).rowcount
        if inserted == len(chunk):
            created.update(row[: len(key)] for row in chunk)
        elif inserted:
            created.update(map(tuple, executor.exec_driver_sql(_last(table, key), (inserted,))))
    return created


@cache
def _from_records(table: Table, columns: tuple[str, ...], key: tuple[str, ...]) -> str:
    values = ", ".join(f"new.{name}::{_postgresql_type(table, name)}" for name in columns)
    record = ", ".join(f"{name} text" for name in columns)
    # The turn comes first in the join, so that ids are given only to the writer that has it: so they grow in the order
    # of commits.
    source = f"SELECT {values} FROM turn, json_to_recordset(%s) AS new ({record})"  # noqa: S608  # names of our own
    return f"WITH turn AS MATERIALIZED ({TAKE_TURN}) {_insert(table, columns, source)} RETURNING {', '.join(key)}"


# There is no RETURNING here: SQLite gives its rows one by one, and the driver releases the interpreter for each.
@cache
def _from_values(table: Table, columns: tuple[str, ...], number: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return _insert(table, columns, f"VALUES {', '.join([row] * number)}")


@cache
def _last(table: Table, key: tuple[str, ...]) -> str:
    return f"SELECT {', '.join(key)} FROM {table.name} ORDER BY id DESC LIMIT ?"  # noqa: S608  # names of our own


def _insert(table: Table, columns: tuple[str, ...], source: str) -> str:
    return f"INSERT INTO {table.name} ({', '.join(columns)}) {source} ON CONFLICT DO NOTHING"


def _postgresql_type(table: Table, name: str) -> str:
    match table.c[name].type:
        case UtcDateTime():
            return "timestamptz"
        case JSON():
            return "json"
        case _:
            return "text"
