"""``GET /feed``: messages in stored order, for programs that must see each once."""

from flask import Blueprint, Response, jsonify, request

from webhook_service.blueprints.links import next_link
from webhook_service.domain.messages import StoredMessage
from webhook_service.domain.statistics import Age
from webhook_service.outlet.lookout import AfterMessage
from webhook_service.outlet.waiting import Waiting
from webhook_service.schemas.age import present_age
from webhook_service.schemas.feed import FEED_CURSORS, load_feed_query
from webhook_service.schemas.messages import present_message
from webhook_service.storage.database import Database
from webhook_service.storage.queries.messages import read_feed
from webhook_service.web.access import Guard, GuardedBlueprint


def feed_blueprint(database: Database, waiting: Waiting) -> Blueprint:
    """Routes of the feed."""
    blueprint = GuardedBlueprint("feed", __name__, guard=Guard.READERS)

    @blueprint.get("/feed", strict_slashes=False)
    def show() -> Response:
        query = load_feed_query(request.query_string)
        age: Age | None = None

        def read() -> list[StoredMessage] | None:
            nonlocal age
            with database.snapshot() as snapshot:
                age = database.read_age(snapshot)
                return read_feed(snapshot, query.after, query.limit) or None

        messages = waiting.for_some(read, AfterMessage(query.after), query.wait) or []
        place = FEED_CURSORS.write(messages[-1].id if messages else query.after)
        response = jsonify(data=[present_message(message) for message in messages], next=place, **present_age(age))
        response.headers["Link"] = next_link("after", place)
        return response

    return blueprint
