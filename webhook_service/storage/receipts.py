"""Receipts in and out of their table."""

import json
from collections.abc import Sequence
from typing import cast

from sqlalchemy import ColumnElement, Connection, Table, select
from sqlalchemy import Row as ResultRow

from webhook_service.domain import Outcome, Receipt, ReceiptFilter
from webhook_service.storage.insert import Row, insert_new, timestamp_value
from webhook_service.storage.models import ReceiptRow
from webhook_service.storage.writing import Executor

_table = cast("Table", ReceiptRow.__table__)
_COLUMNS = ("message_id", "status", "recipient", "provider", "ts", "error", "extra", "received_at")
_KEY = _COLUMNS[:3]
_Selected = tuple[int, str, str, str, str, object, object, object, object]


def encode_receipt(receipt: Receipt) -> Row:
    """A receipt as the row that ``insert_receipts`` takes."""
    return (
        receipt.message_id,
        receipt.status,
        receipt.recipient,
        receipt.provider,
        timestamp_value(receipt.ts),
        receipt.error,
        None if receipt.extra is None else json.dumps(receipt.extra, ensure_ascii=False),
        timestamp_value(receipt.received_at),
    )


def insert_receipts(executor: Executor, rows: Sequence[Row]) -> list[Outcome]:
    """Stores each receipt that is new by message ID, status and recipient, and tells what became of each, in order."""
    return insert_new(executor, _table, _COLUMNS, len(_KEY), rows)


def list_receipts(
    connection: Connection, wanted: ReceiptFilter, *, after: int, limit: int
) -> list[tuple[int, Receipt]]:
    """The receipts stored after that position which pass the filter, each with its own position, in stored order."""
    conditions: list[ColumnElement[bool]] = [ReceiptRow.id > after]
    if wanted.message_id is not None:
        conditions.append(ReceiptRow.message_id == wanted.message_id)
    if wanted.status is not None:
        conditions.append(ReceiptRow.status == wanted.status)
    rows = connection.execute(_select.where(*conditions).order_by(ReceiptRow.id).limit(limit))
    return [(row.id, _to_receipt(row)) for row in rows]


_select = select(
    ReceiptRow.id,
    ReceiptRow.message_id,
    ReceiptRow.provider,
    ReceiptRow.status,
    ReceiptRow.recipient,
    ReceiptRow.ts,
    ReceiptRow.received_at,
    ReceiptRow.error,
    ReceiptRow.extra,
)


def _to_receipt(row: ResultRow[tuple[object, ...]]) -> Receipt:
    fields = row._asdict()
    del fields["id"]
    return Receipt(**fields)
