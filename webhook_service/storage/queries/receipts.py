"""The table of receipts."""

from collections.abc import Sequence
from itertools import starmap
from typing import cast

from sqlalchemy import ColumnElement, Connection, Table, select

from webhook_service.domain.paging import Page
from webhook_service.domain.receipts import Receipt, ReceiptQuery, StoredReceipt
from webhook_service.domain.results import Outcome
from webhook_service.storage.models import ReceiptRow, read_columns
from webhook_service.storage.queries.insert import Row, insert_new, json_value, timestamp_value
from webhook_service.storage.writing import Executor

_table = cast("Table", ReceiptRow.__table__)
_COLUMNS = ("message_id", "status", "recipient", "source", "provider", "ts", "error", "extra", "received_at")
_KEY = _COLUMNS[:3]
_SELECT = select(*read_columns(ReceiptRow, StoredReceipt._fields))


def encode_receipt(receipt: Receipt, source: str | None = None) -> Row:
    """Converts a receipt to a row for ``insert_receipts``; ``source`` is that of the delivery."""
    source = receipt.source or source or receipt.provider
    return (
        receipt.message_id,
        receipt.status,
        receipt.recipient,
        source,
        None if receipt.provider == source else receipt.provider,
        timestamp_value(receipt.ts),
        receipt.error,
        json_value(receipt.extra),
        timestamp_value(receipt.received_at),
    )


def insert_receipts(executor: Executor, rows: Sequence[Row]) -> list[Outcome]:
    """Stores each receipt whose message ID, status and recipient are new; returns the outcome of each, in order."""
    return insert_new(executor, _table, _COLUMNS, len(_KEY), rows)


def list_receipts(connection: Connection, query: ReceiptQuery) -> Page[StoredReceipt, int]:
    """Reads a page of receipts in stored order."""
    conditions: list[ColumnElement[bool]] = [ReceiptRow.id > query.after]
    if query.filter.message_id is not None:
        conditions.append(ReceiptRow.message_id == query.filter.message_id)
    if query.filter.status is not None:
        conditions.append(ReceiptRow.status == query.filter.status)
    if query.filter.source is not None:
        conditions.append(ReceiptRow.source == query.filter.source)
    page = _SELECT.where(*conditions).order_by(ReceiptRow.id).limit(query.limit + 1)
    found = list(starmap(StoredReceipt, connection.execute(page)))
    return Page.cut(found, query.limit, lambda receipt: receipt.id)
