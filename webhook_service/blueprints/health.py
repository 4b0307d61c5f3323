"""Health checks: whether the process answers, and whether it can do its work."""

from flask import Blueprint, Response, jsonify

from webhook_service.providers.native import Native
from webhook_service.storage.database import Database
from webhook_service.storage.queries.quarantine import read_sizes
from webhook_service.storage.queries.replication import replication_warnings
from webhook_service.web.access import Guard, GuardedBlueprint
from webhook_service.web.errors import error_response

NEARLY_FULL = 0.8  # of the bytes that the deliveries of a source may take in quarantine


def health_blueprint(database: Database, *, has_source: bool) -> Blueprint:
    """Makes the routes of the health checks; without a source the service is not ready."""
    blueprint = GuardedBlueprint("health", __name__, guard=Guard.OPEN, url_prefix="/health")

    @blueprint.get("/live")
    def live() -> Response:
        return jsonify(status="ok")

    @blueprint.get("/ready")
    def ready() -> Response:
        problems = [] if has_source else [f"{Native.secret_setting} is not set"]
        problems += database.problems()
        if problems:
            return error_response(503, "; ".join(problems))
        warnings = [*replication_warnings(database), *_quarantine_warnings(database)]
        return jsonify(status="ok", warnings=warnings) if warnings else jsonify(status="ok")

    return blueprint


def _quarantine_warnings(database: Database) -> list[str]:
    """Lists the sources whose quarantine is nearly full. That is a warning only: what is understood is still stored."""
    most = database.quarantine_max_bytes
    with database.primary_snapshot() as snapshot:
        sizes = read_sizes(snapshot)
    return [
        f"the quarantine of {source} is {min(size.bytes * 100 // most, 100)} % full"
        for source, size in sorted(sizes.items())
        if size.bytes >= NEARLY_FULL * most
    ]
