"""``GET /receipts``: pages of receipts."""

from flask import Blueprint, Response, jsonify, request

from webhook_service.schemas.receipts import load_receipt_query, present_receipt, receipt_cursors
from webhook_service.storage.database import Database
from webhook_service.storage.queries.receipts import list_receipts
from webhook_service.web.access import Guard, GuardedBlueprint


def receipts_blueprint(database: Database) -> Blueprint:
    """Makes the routes of the receipts."""
    blueprint = GuardedBlueprint("receipts", __name__, guard=Guard.API)

    @blueprint.get("/receipts", strict_slashes=False)
    def list_() -> Response:
        query = load_receipt_query(request.query_string)
        with database.snapshot() as snapshot:
            page = list_receipts(snapshot, query)
        return jsonify(
            data=[present_receipt(receipt) for receipt in page.items],
            next_cursor=receipt_cursors(query.filter).next(page),
        )

    return blueprint
