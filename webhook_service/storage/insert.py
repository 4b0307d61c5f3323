"""Rows into a table, a statement for many, telling which of them are new.

SQLAlchemy's own bulk insert builds its statement anew for each number of rows. On the write path that costs more than
the database takes to store them, so the statements are made here, and the driver gets plain values.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cache
from itertools import chain, islice

from sqlalchemy import JSON, Connection, Table

from webhook_service.domain import Outcome
from webhook_service.storage.models import UtcDateTime

Value = str | int | None
Row = tuple[Value, ...]

# A statement takes 32,766 parameters: https://www.sqlite.org/limits.html#max_variable_number
SQLITE_PARAMETERS = 32_766


def timestamp_value(moment: datetime) -> str:
    """An aware UTC datetime as both databases read it: PostgreSQL's sessions here are in UTC."""
    return moment.replace(tzinfo=None).isoformat(" ", "microseconds")


def insert_new(
    connection: Connection, table: Table, columns: tuple[str, ...], key_length: int, rows: Sequence[Row]
) -> list[Outcome]:
    """Inserts the rows that no unique constraint forbids and tells what became of each, in order.

    Each row has a value for each of ``columns``, of which the first ``key_length`` make a row unique. The constraint
    decides, in the statement that inserts, so the first write of a key wins over any other in these rows, in this
    transaction or in another process.
    """
    if not rows:
        return []
    created = set(_insert_new(connection, table, columns, key_length, rows))
    outcomes = []
    for row in rows:
        key = row[:key_length]
        outcomes.append(Outcome.CREATED if key in created else Outcome.DUPLICATE)
        created.discard(key)
    return outcomes


def _insert_new(
    connection: Connection, table: Table, columns: tuple[str, ...], key_length: int, rows: Sequence[Row]
) -> Iterator[Row]:
    key = columns[:key_length]
    if connection.dialect.name == "postgresql":
        by_column = tuple(list(values) for values in zip(*rows, strict=True))
        yield from _inserted(connection, _from_arrays(table, columns, key), by_column)
        return
    remaining = iter(rows)
    while chunk := list(islice(remaining, SQLITE_PARAMETERS // len(columns))):
        statement = _from_values(table, columns, key, len(chunk))
        yield from _inserted(connection, statement, tuple(chain.from_iterable(chunk)))


def _inserted(connection: Connection, statement: str, parameters: tuple[object, ...]) -> Iterator[Row]:
    return (tuple(row) for row in connection.exec_driver_sql(statement, parameters))


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
