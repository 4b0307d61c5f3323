"""Health: the process answers, and it can do its work."""

from flask import Blueprint, Response, jsonify

from webhook_service.providers.native import Native
from webhook_service.storage.database import Database
from webhook_service.storage.queries.quarantine import read_sizes
from webhook_service.storage.queries.replication import replication_warnings
from webhook_service.web.access import Guard, GuardedBlueprint
from webhook_service.web.errors import error_response

NEARLY_FULL = 0.8  # of what the deliveries of a source may take in quarantine


def health_blueprint(database: Database, *, has_secret: bool) -> Blueprint:
    """Routes for whoever watches the process; ``has_secret`` says whether deliveries can be verified at all."""
    blueprint = GuardedBlueprint("health", __name__, guard=Guard.OPEN, url_prefix="/health")

    @blueprint.get("/live")
    def live() -> Response:
        return jsonify(status="ok")

    @blueprint.get("/ready")
    def ready() -> Response:
        problems = [] if has_secret else [f"{Native.secret_setting} is not set"]
        problems += database.problems()
        if problems:
            return error_response(503, "; ".join(problems))
        warnings = [*replication_warnings(database), *_quarantine_warnings(database)]
        return jsonify(status="ok", warnings=warnings) if warnings else jsonify(status="ok")

    return blueprint


def _quarantine_warnings(database: Database) -> list[str]:
    """Says which sources' quarantine is nearly full. What is understood is stored all the same, so that is ready."""
    most = database.quarantine_max_bytes
    with database.primary_snapshot() as snapshot:
        sizes = read_sizes(snapshot)
    return [
        f"the quarantine of {source} is {min(size.bytes * 100 // most, 100)} % full"
        for source, size in sorted(sizes.items())
        if size.bytes >= NEARLY_FULL * most
    ]
