"""Health: the process answers, and it can do its work."""

from flask import Blueprint, Response, jsonify

from webhook_service.providers.native import Native
from webhook_service.storage.database import Database
from webhook_service.web.access import Guard, GuardedBlueprint
from webhook_service.web.errors import problem


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
            return problem(503, "; ".join(problems))
        return jsonify(status="ok")

    return blueprint
