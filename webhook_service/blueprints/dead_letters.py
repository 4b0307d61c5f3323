"""Dead letters: messages that a consumer or a destination could not take, and retrying them."""

from flask import Blueprint, Response, abort, jsonify, request

from webhook_service.outlet.dead_letters import DeadLetters
from webhook_service.schemas.dead_letters import (
    dead_letter_cursors,
    load_dead_letter_filter,
    load_dead_letter_query,
    present_dead_letter,
)
from webhook_service.storage.database import Database
from webhook_service.storage.queries.dead_letters import list_dead_letters
from webhook_service.web.access import Guard, GuardedBlueprint


def dead_letters_blueprint(database: Database) -> Blueprint:
    """Makes the routes that show, retry and drop dead letters."""
    blueprint = GuardedBlueprint(
        "dead_letters",
        __name__,
        guard=Guard.API,
        guards={"retry": Guard.ADMIN_CALLS, "retry_all": Guard.ADMIN_CALLS, "drop": Guard.ADMIN_CALLS},
        url_prefix="/dead-letters",
    )
    dead_letters = DeadLetters(database)

    @blueprint.get("", strict_slashes=False)
    def list_() -> Response:
        query = load_dead_letter_query(request.query_string)
        with database.snapshot() as snapshot:
            page = list_dead_letters(snapshot, query.filter, after=query.after, limit=query.limit)
        return jsonify(
            data=[present_dead_letter(dead_letter) for dead_letter in page.items],
            next_cursor=dead_letter_cursors(query.filter).next(page),
        )

    @blueprint.post("/retry")
    def retry_all() -> Response:
        return jsonify(retried=dead_letters.retry_all(load_dead_letter_filter(request.query_string)))

    @blueprint.post("/<row_id:dead_letter_id>/retry")
    def retry(dead_letter_id: int) -> Response:
        if not dead_letters.retry(dead_letter_id):
            abort(404)
        return Response(status=204)

    @blueprint.delete("/<row_id:dead_letter_id>")
    def drop(dead_letter_id: int) -> Response:
        if not dead_letters.drop(dead_letter_id):
            abort(404)
        return Response(status=204)

    return blueprint
