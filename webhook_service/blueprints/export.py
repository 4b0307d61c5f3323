"""``GET /export``: all messages, as a stream."""

from itertools import chain

from flask import Blueprint, Response, request

from webhook_service.schemas.export import load_export_query
from webhook_service.schemas.export_formats import ExportFormat
from webhook_service.storage.database import Database
from webhook_service.storage.queries.batches import begin_batches
from webhook_service.web.access import Guard, GuardedBlueprint


def export_blueprint(database: Database) -> Blueprint:
    """Makes the routes of the export."""
    blueprint = GuardedBlueprint("export", __name__, guard=Guard.API)

    @blueprint.get("/export", strict_slashes=False)
    def show() -> Response:
        query = load_export_query(request.query_string)
        form = ExportFormat(query.format)
        batches = begin_batches(database, query.filter, query.after)
        response = Response(chain([form.header], map(form.lines, batches)), content_type=form.content_type)
        response.headers["Content-Disposition"] = f'attachment; filename="messages.{form.value}"'
        return response

    return blueprint
