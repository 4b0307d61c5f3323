"""Totals out."""

from flask import Blueprint, Response, jsonify

from webhook_service.schemas import present_stats
from webhook_service.storage.database import Database
from webhook_service.storage.stats import read_stats


def stats_blueprint(database: Database) -> Blueprint:
    """Routes that read totals."""
    blueprint = Blueprint("stats", __name__)

    @blueprint.get("/stats")
    def show() -> Response:
        with database.snapshot() as snapshot:
            stats = read_stats(snapshot)
        return jsonify(present_stats(stats))

    return blueprint
