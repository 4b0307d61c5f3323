"""Receipts: the list of them, and one as JSON."""

from dataclasses import dataclass
from typing import Any

import orjson
from marshmallow import EXCLUDE, Schema, fields, validate

from webhook_service.cursors import Scope, encode_cursor
from webhook_service.domain import ReceiptFilter, StoredReceipt
from webhook_service.limits import PAGE_DEFAULT, PAGE_MAX
from webhook_service.schemas.fields import AsciiInteger, no_nul
from webhook_service.schemas.query import load_query, read_position


class ReceiptQuerySchema(Schema):
    """The query string of ``GET /receipts``."""

    limit = AsciiInteger(load_default=PAGE_DEFAULT, validate=validate.Range(1, PAGE_MAX))
    message_id = fields.String(load_default=None, validate=no_nul)
    status = fields.String(load_default=None, validate=no_nul)
    cursor = fields.String(load_default=None)


@dataclass(frozen=True, slots=True)
class ReceiptQuery:
    """One page that a caller of ``GET /receipts`` asks for; ``after`` is the position of the last one seen."""

    filter: ReceiptFilter
    after: int
    limit: int

    def cursor(self, position: int) -> str:
        """The cursor for the page after that position."""
        return encode_cursor(_scope(self.filter), [position])


_receipt_query = ReceiptQuerySchema(unknown=EXCLUDE)


def load_receipt_query(query_string: bytes) -> ReceiptQuery:
    """The page that a query string asks for; QueryInvalid when a parameter is bad."""
    loaded = load_query(_receipt_query, query_string)
    wanted = ReceiptFilter(loaded["message_id"], loaded["status"])
    return ReceiptQuery(wanted, read_position(_scope(wanted), loaded["cursor"]), loaded["limit"])


def _scope(wanted: ReceiptFilter) -> Scope:
    return ("receipts", wanted.message_id, wanted.status)


def present_receipt(receipt: StoredReceipt) -> dict[str, Any]:
    """A receipt as its JSON object, for ``encode_json``; ``error`` and ``extra`` only where there is one."""
    presented: dict[str, Any] = {
        "message_id": receipt.message_id,
        "status": receipt.status,
        "recipient": receipt.recipient,
        "ts": receipt.ts,
        "provider": receipt.provider,
        "received_at": receipt.received_at,
    }
    if receipt.error is not None:
        presented["error"] = receipt.error
    if receipt.extra is not None:
        presented["extra"] = orjson.Fragment(receipt.extra)
    return presented
