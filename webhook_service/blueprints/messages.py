"""Messages out."""

from flask import Blueprint, Response, abort, jsonify, request

from webhook_service.domain import ReceiptFilter
from webhook_service.schemas import load_message_query, present_message, present_receipt
from webhook_service.storage.database import Database
from webhook_service.storage.messages import count_messages, find_message, list_messages
from webhook_service.storage.receipts import list_receipts

RECEIPTS_SHOWN = 100  # with a message; `/receipts` pages through more


def messages_blueprint(database: Database) -> Blueprint:
    """Routes that read messages."""
    blueprint = Blueprint("messages", __name__)

    @blueprint.get("/messages")
    def list_() -> Response:
        query = load_message_query(request.query_string)
        with database.snapshot() as snapshot:
            page = list_messages(snapshot, query.filter, order=query.order, limit=query.limit, offset=query.offset)
            total = count_messages(snapshot, query.filter)
        return jsonify(
            data=[present_message(message) for message in page],
            total=total,
            limit=query.limit,
            offset=query.offset,
            next_cursor=None,
        )

    @blueprint.get("/messages/<any_text:message_id>")
    def show(message_id: str) -> Response:
        with database.snapshot() as snapshot:
            message = find_message(snapshot, message_id)
            if message is None:
                abort(404)
            receipts = list_receipts(snapshot, ReceiptFilter(message_id), after=0, limit=RECEIPTS_SHOWN)
        return jsonify(
            **present_message(message), receipts=[present_receipt(receipt) for _position, receipt in receipts]
        )

    return blueprint
