"""``GET /messages``: pages of messages, and single ones with their receipts."""

from flask import Blueprint, Response, abort, jsonify, request

from webhook_service.blueprints.links import next_link
from webhook_service.domain.receipts import ReceiptFilter, ReceiptQuery
from webhook_service.schemas.messages import load_message_query, message_cursors, present_duplicates, present_message
from webhook_service.schemas.query import refuse_parameters
from webhook_service.schemas.receipts import present_receipt
from webhook_service.storage.database import Database
from webhook_service.storage.queries.duplicates import read_duplicates
from webhook_service.storage.queries.messages import find_message
from webhook_service.storage.queries.pages import count_messages, read_page
from webhook_service.storage.queries.receipts import list_receipts
from webhook_service.web.access import Guard, GuardedBlueprint

RECEIPTS_SHOWN = 100  # together with a message; ``/receipts`` pages through all


def messages_blueprint(database: Database) -> Blueprint:
    """Makes the routes of the messages."""
    blueprint = GuardedBlueprint("messages", __name__, guard=Guard.API)

    @blueprint.get("/messages", strict_slashes=False)
    def list_() -> Response:
        query = load_message_query(request.query_string)
        with database.snapshot() as snapshot:
            page = read_page(snapshot, query)
            total = count_messages(snapshot, query.filter) if query.with_total else None
        cursor = message_cursors(query.filter, query.order).next(page)
        response = jsonify(
            data=[present_message(message) for message in page.items],
            total=total,
            limit=query.limit,
            offset=query.offset,
            next_cursor=cursor,
        )
        if cursor is not None:
            response.headers["Link"] = next_link("cursor", cursor)
        return response

    @blueprint.get("/messages/<any_text:message_id>")
    def show(message_id: str) -> Response:
        refuse_parameters(request.query_string)
        with database.snapshot() as snapshot:
            message = find_message(snapshot, message_id)
            if message is None:
                abort(404)
            duplicates = read_duplicates(snapshot, message.id)
            receipts = list_receipts(snapshot, ReceiptQuery(ReceiptFilter(message_id), RECEIPTS_SHOWN)).items
        return jsonify(
            **present_message(message),
            duplicates=present_duplicates(duplicates),
            receipts=[present_receipt(receipt) for receipt in receipts],
        )

    return blueprint
