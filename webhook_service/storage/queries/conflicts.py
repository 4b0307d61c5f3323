"""Messages whose ID is taken: tells those that repeat the stored message from those that differ from it.

The database compares them, so that a round of repetitions reads nothing back.
"""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain

from webhook_service.storage.queries.insert import SQLITE_PARAMETERS, Row
from webhook_service.storage.writing import Executor, StatementResult

COMPARED = ("message_id", "source", "provider", "sender", "recipient", "ts", "text", "type", "received_at")
"""The columns of the rows that ``find_different`` compares."""

_ROWS_IN_A_STATEMENT = SQLITE_PARAMETERS // (len(COMPARED) + 1)
_TIMES = frozenset({"ts", "received_at"})

# A message without a time of its provider's has the time of its arrival as its ``ts``, so that is not compared.
_FIND = """
    SELECT offered.place, stored.id IS NULL
    FROM offered LEFT JOIN messages AS stored ON stored.message_id = offered.message_id
    WHERE stored.id IS NULL
        OR stored.source <> offered.source
        OR coalesce(stored.provider, '') <> coalesce(offered.provider, '')
        OR stored.sender <> offered.sender
        OR stored.recipient <> offered.recipient
        OR stored.type <> offered.type
        OR coalesce(stored.text <> offered.text, (stored.text IS NULL) <> (offered.text IS NULL))
        OR (stored.ts <> offered.ts AND stored.ts <> stored.received_at AND offered.ts <> offered.received_at)
"""


def find_different(executor: Executor, rows: Sequence[Row]) -> Iterator[tuple[int, bool]]:
    """Finds the rows that differ from the stored message with their ID; yields their index in ``rows``.

    With each index it yields whether that message was deleted meanwhile, so that the ID is free.
    """
    find = _find_on_postgresql if executor.dialect.name == "postgresql" else _find_on_sqlite
    for start in range(0, len(rows), _ROWS_IN_A_STATEMENT):
        for place, is_gone in find(executor, rows[start : start + _ROWS_IN_A_STATEMENT]):
            yield start + place, bool(is_gone)


def _find_on_postgresql(executor: Executor, rows: Sequence[Row]) -> StatementResult:
    records = [{"place": place, **dict(zip(COMPARED, row, strict=True))} for place, row in enumerate(rows)]
    return executor.exec_driver_sql(_among_records(), (json.dumps(records),))


def _find_on_sqlite(executor: Executor, rows: Sequence[Row]) -> StatementResult:
    values = tuple(chain.from_iterable((place, *row) for place, row in enumerate(rows)))
    return executor.exec_driver_sql(_among_values(len(rows)), values)


@cache
def _among_records() -> str:
    columns = ", ".join(f"{name} {'timestamptz' if name in _TIMES else 'text'}" for name in COMPARED)
    return f"WITH offered AS (SELECT * FROM json_to_recordset(%s) AS new (place integer, {columns})) {_FIND}"  # noqa: S608  # names of our own


@cache
def _among_values(number: int) -> str:
    row = f"({', '.join('?' * (len(COMPARED) + 1))})"
    return f"WITH offered (place, {', '.join(COMPARED)}) AS (VALUES {', '.join([row] * number)}) {_FIND}"
