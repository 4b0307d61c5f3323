"""Receipts: the query for a page of them, their cursors, and a receipt as JSON."""

from typing import Any

import orjson
from marshmallow import EXCLUDE, fields

from webhook_service.domain.receipts import ReceiptFilter, ReceiptQuery, StoredReceipt
from webhook_service.schemas.cursors import RowCursors
from webhook_service.schemas.fields import no_nul
from webhook_service.schemas.query import PageQuerySchema, load_query, read_cursor


class ReceiptQuerySchema(PageQuerySchema):
    """The query string of ``GET /receipts``."""

    message_id = fields.String(
        load_default=None, validate=no_nul, metadata={"description": "Only those of this message."}
    )
    status = fields.String(
        load_default=None,
        validate=no_nul,
        metadata={"description": "Only those with this status.", "example": "delivered"},
    )
    source = fields.String(
        load_default=None, validate=no_nul, metadata={"description": "Only those of this source.", "example": "berlin"}
    )


_receipt_query = ReceiptQuerySchema(unknown=EXCLUDE)


def load_receipt_query(query_string: bytes) -> ReceiptQuery:
    """Loads a query string; QueryInvalid when a parameter is bad."""
    loaded = load_query(_receipt_query, query_string)
    wanted, cursor = ReceiptFilter(loaded["message_id"], loaded["status"], loaded["source"]), loaded["cursor"]
    after = 0 if cursor is None else read_cursor(receipt_cursors(wanted), cursor)
    return ReceiptQuery(wanted, loaded["limit"], after)


def receipt_cursors(wanted: ReceiptFilter) -> RowCursors:
    """Returns the cursors of the list of receipts that pass a filter."""
    of_source = () if wanted.source is None else (wanted.source,)
    return RowCursors("receipts", wanted.message_id, wanted.status, *of_source)


def present_receipt(receipt: StoredReceipt) -> dict[str, Any]:
    """Converts a receipt to its JSON object, for ``encode_json``; ``error`` and ``extra`` only if there are any."""
    presented: dict[str, Any] = {
        "message_id": receipt.message_id,
        "status": receipt.status,
        "recipient": receipt.recipient,
        "ts": receipt.ts,
        "source": receipt.source,
        "provider": receipt.provider,
        "received_at": receipt.received_at,
    }
    if receipt.error is not None:
        presented["error"] = receipt.error
    if receipt.extra is not None:
        presented["extra"] = orjson.Fragment(receipt.extra)
    return presented
