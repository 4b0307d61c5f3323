"""Messages in stored order, for programs that must see each once."""

from flask import Blueprint, Response, request

from webhook_service.blueprints.links import next_link
from webhook_service.schemas.feed import encode_feed, load_feed_query, next_in_feed
from webhook_service.storage.database import Database
from webhook_service.storage.feed import read_feed


def feed_blueprint(database: Database) -> Blueprint:
    """Routes for consumers."""
    blueprint = Blueprint("feed", __name__)

    @blueprint.get("/feed")
    def show() -> Response:
        query = load_feed_query(request.query_string)
        with database.snapshot() as snapshot:
            age = database.read_age(snapshot)
            messages = read_feed(snapshot, query.after_id, query.limit)
        place = next_in_feed(query, messages)
        response = Response(encode_feed(messages, place, age), content_type="application/json")
        response.headers["Link"] = next_link("after", place)
        return response

    return blueprint
