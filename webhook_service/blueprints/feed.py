"""``GET /feed``: messages in stored order, for programs that must see each once."""

from flask import Blueprint, Response, jsonify, request

from webhook_service.blueprints.links import next_link
from webhook_service.schemas.age import present_age
from webhook_service.schemas.feed import FEED_CURSORS, load_feed_query
from webhook_service.schemas.messages import present_message
from webhook_service.storage.database import Database
from webhook_service.storage.queries.messages import read_feed_of
from webhook_service.web.access import Guard, GuardedBlueprint


def feed_blueprint(database: Database) -> Blueprint:
    """Routes of the feed."""
    blueprint = GuardedBlueprint("feed", __name__, guard=Guard.READERS)

    @blueprint.get("/feed", strict_slashes=False)
    def show() -> Response:
        query = load_feed_query(request.query_string)
        with database.snapshot() as snapshot:
            age = database.read_age(snapshot)
            messages, reached = read_feed_of(snapshot, query.source, query.after, query.limit)
        place = FEED_CURSORS.write(reached)
        response = jsonify(data=[present_message(message) for message in messages], next=place, **present_age(age))
        response.headers["Link"] = next_link("after", place)
        return response

    return blueprint
