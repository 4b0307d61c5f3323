"""``GET /feed``: messages in stored order, for programs that must see each once."""

from flask import Blueprint, Response, jsonify, request

from webhook_service.blueprints.links import next_link
from webhook_service.domain.messages import StoredMessage
from webhook_service.domain.statistics import Age
from webhook_service.outlet.consumers import find_start
from webhook_service.outlet.wait_checker import AfterMessage
from webhook_service.outlet.waiting import Waiting
from webhook_service.schemas.age import present_age
from webhook_service.schemas.feed import FEED_CURSORS, load_feed_query
from webhook_service.schemas.messages import present_message
from webhook_service.storage.database import Database
from webhook_service.storage.queries.messages import newest_for_programs, read_feed_of
from webhook_service.web.access import Guard, GuardedBlueprint


def feed_blueprint(database: Database, waiting: Waiting) -> Blueprint:
    """Makes the routes of the feed."""
    blueprint = GuardedBlueprint("feed", __name__, guard=Guard.API)

    @blueprint.get("/feed", strict_slashes=False)
    def show() -> Response:
        query = load_feed_query(request.query_string)
        after = query.after
        if query.start is not None:
            with database.long_snapshot() as snapshot:
                after = find_start(snapshot, query.start)
        reached = after
        age: Age | None = None
        is_little_left = False

        def read() -> list[StoredMessage] | None:
            nonlocal reached, age, is_little_left
            with database.snapshot() as snapshot:
                age = database.read_age(snapshot)
                messages, reached = read_feed_of(snapshot, query.source, after, query.limit)
                left = newest_for_programs(snapshot) - reached
            is_little_left = left < query.limit
            return messages if messages or left > 0 else None

        # A request that is held back is served anew from its query, and ``since`` would then skip what came meanwhile.
        wait = query.wait if query.start is None else 0
        messages = waiting.for_some(
            read, lambda: AfterMessage(reached, source=query.source), wait, leaves_little=lambda _: is_little_left
        )
        place = FEED_CURSORS.write(reached)
        response = jsonify(
            data=[present_message(message) for message in messages or ()], next=place, **present_age(age)
        )
        response.headers["Link"] = next_link("after", place)
        return response

    return blueprint
