"""Receipts in and out of their table."""

import json
from collections.abc import Sequence
from itertools import starmap
from typing import cast

from sqlalchemy import ColumnElement, Connection, Table, select

from webhook_service.domain import Outcome, Receipt, ReceiptFilter, StoredReceipt
from webhook_service.storage.insert import Executor, Row, insert_new, timestamp_value
from webhook_service.storage.models import ReceiptRow, read_columns

_table = cast("Table", ReceiptRow.__table__)
_COLUMNS = ("message_id", "status", "recipient", "provider", "ts", "error", "extra", "received_at")
_KEY = _COLUMNS[:3]


def encode_receipt(receipt: Receipt) -> Row:
    """Makes a receipt the row that ``insert_receipts`` takes."""
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
    """Stores each receipt whose message ID, status and recipient are new; returns the outcome of each, in order."""
    return insert_new(executor, _table, _COLUMNS, len(_KEY), rows)


def list_receipts(connection: Connection, wanted: ReceiptFilter, *, after: int, limit: int) -> list[StoredReceipt]:
    """Reads the receipts that pass the filter and were stored after the one with that id, in stored order."""
    conditions: list[ColumnElement[bool]] = [ReceiptRow.id > after]
    if wanted.message_id is not None:
        conditions.append(ReceiptRow.message_id == wanted.message_id)
    if wanted.status is not None:
        conditions.append(ReceiptRow.status == wanted.status)
    page = (
        select(*read_columns(ReceiptRow, StoredReceipt._fields)).where(*conditions).order_by(ReceiptRow.id).limit(limit)
    )
    return list(starmap(StoredReceipt, connection.execute(page)))
