"""``GET /stats``: totals, and counts over time."""

from datetime import UTC, datetime

from flask import Blueprint, Response, jsonify, request

from webhook_service.schemas.age import present_age
from webhook_service.schemas.query import refuse_parameters
from webhook_service.schemas.stats import load_timeline_query, present_stats, present_timeline
from webhook_service.storage.database import Database
from webhook_service.storage.queries.counts import read_timeline
from webhook_service.storage.queries.stats import read_stats
from webhook_service.web.access import Guard, GuardedBlueprint


def stats_blueprint(database: Database) -> Blueprint:
    """Makes the routes of the totals."""
    blueprint = GuardedBlueprint("stats", __name__, guard=Guard.API)

    @blueprint.get("/stats", strict_slashes=False)
    def show() -> Response:
        refuse_parameters(request.query_string)
        with database.snapshot() as snapshot:
            age = database.read_age(snapshot)
            stats = read_stats(snapshot)
        return jsonify(**present_stats(stats), **present_age(age))

    @blueprint.get("/stats/timeline", strict_slashes=False)
    def show_timeline() -> Response:
        query = load_timeline_query(request.query_string, datetime.now(UTC))
        with database.snapshot() as snapshot:
            age = database.read_age(snapshot)
            timeline = read_timeline(snapshot, query.since, query.until, query.interval, query.source)
        return jsonify(**present_timeline(timeline), **present_age(age))

    return blueprint
