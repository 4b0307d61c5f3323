"""``GET /sources``: the configured sources."""

from datetime import UTC, datetime

from flask import Blueprint, Response, jsonify, request

from webhook_service.intake.source_reports import read_source_reports
from webhook_service.intake.take_in import Intake
from webhook_service.schemas.query import refuse_parameters
from webhook_service.schemas.sources import present_source
from webhook_service.storage.database import Database
from webhook_service.web.access import Guard, GuardedBlueprint


def sources_blueprint(database: Database, intake: Intake) -> Blueprint:
    """Makes the routes of the sources."""
    blueprint = GuardedBlueprint("sources", __name__, guard=Guard.API)

    @blueprint.get("/sources", strict_slashes=False)
    def list_() -> Response:
        refuse_parameters(request.query_string)
        reports = read_source_reports(database, intake.sources, datetime.now(UTC))
        return jsonify(data=[present_source(report) for report in reports])

    return blueprint
