"""Rows into a table, a statement for many, telling which of them are new.

SQLAlchemy's own bulk insert builds its statement anew for each number of rows. On the write path that costs more than
the database takes to store them, so the statements are made here, and the driver gets plain values.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from itertools import chain, islice

from sqlalchemy import JSON, Connection, Table

from webhook_service.storage.models import UtcDateTime

Value = str | int | None
Row = tuple[Value, ...]

# A statement takes 32,766 parameters: https://www.sqlite.org/limits.html#max_variable_number
SQLITE_PARAMETERS = 32_766


def timestamp_value(moment: datetime) -> str:
    """An aware UTC datetime as both databases read it: PostgreSQL's sessions here are in UTC."""
    return moment.replace(tzinfo=None).isoformat(" ", "microseconds")


def insert_new(
    connection: Connection, table: Table, columns: tuple[str, ...], key: tuple[str, ...], rows: Sequence[Row]
) -> set[Row]:
    """Inserts the rows that no unique constraint forbids, and returns the keys of those that it inserted.

    Each row has a value for each of ``columns``; ``key`` names the columns that make a row unique.
    """
    if not rows:
        return set()
    if connection.dialect.name == "postgresql":
        by_column = [list(values) for values in zip(*rows, strict=True)]
        return _inserted(connection, _from_arrays(table, columns, key), by_column)
    inserted: set[Row] = set()
    remaining = iter(rows)
    while chunk := list(islice(remaining, SQLITE_PARAMETERS // len(columns))):
        statement = _from_values(table, columns, key, len(chunk))
        inserted |= _inserted(connection, statement, list(chain.from_iterable(chunk)))
    return inserted


def _inserted(connection: Connection, statement: str, parameters: Iterable[object]) -> set[Row]:
    return {tuple(row) for row in connection.exec_driver_sql(statement, tuple(parameters))}


@cache
def _from_arrays(table: Table, columns: tuple[str, ...], key: tuple[str, ...]) -> str:
    arrays = ", ".join(f"%s::{_postgresql_type(table, name)}[]" for name in columns)
    return _insert(table, columns, key, source=f"SELECT * FROM unnest({arrays})")  # noqa: S608  # names of our own


@cache
def _from_values(table: Table, columns: tuple[str, ...], key: tuple[str, ...], number: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return _insert(table, columns, key, source=f"VALUES {', '.join([row] * number)}")


def _insert(table: Table, columns: tuple[str, ...], key: tuple[str, ...], *, source: str) -> str:
    names, keys = ", ".join(columns), ", ".join(key)
    return f"INSERT INTO {table.name} ({names}) {source} ON CONFLICT DO NOTHING RETURNING {keys}"


def _postgresql_type(table: Table, name: str) -> str:
    match table.c[name].type:
        case UtcDateTime():
            return "timestamptz"
        case JSON():
            return "json"
        case _:
            return "text"
