"""Destinations: how each is doing, resuming one, moving one in the feed, and forgetting one."""

from flask import Blueprint, Response, jsonify, request

from webhook_service.outlet.destinations import Destinations
from webhook_service.schemas.consumers import load_start
from webhook_service.schemas.destinations import present_destination
from webhook_service.schemas.query import refuse_parameters
from webhook_service.web.access import Guard, GuardedBlueprint

ADMINISTRATIVE = {"resume": Guard.ADMIN_CALLS, "seek": Guard.ADMIN_CALLS, "forget": Guard.ADMIN_CALLS}


def destinations_blueprint(destinations: Destinations) -> Blueprint:
    """Makes the routes that show, resume, move and forget destinations."""
    blueprint = GuardedBlueprint(
        "destinations",
        __name__,
        guard=Guard.API,
        guards=ADMINISTRATIVE,
        url_prefix="/destinations",
    )

    @blueprint.get("", strict_slashes=False)
    def list_() -> Response:
        refuse_parameters(request.query_string)
        return jsonify(data=[present_destination(report) for report in destinations.read_all()])

    @blueprint.post("/<name>/resume")
    def resume(name: str) -> Response:
        refuse_parameters(request.query_string)
        destinations.resume(name)
        return jsonify(present_destination(destinations.read(name)))

    @blueprint.post("/<name>/seek")
    def seek(name: str) -> Response:
        destinations.seek(name, load_start(request.get_data()))
        return jsonify(present_destination(destinations.read(name)))

    @blueprint.delete("/<name>")
    def forget(name: str) -> Response:
        destinations.forget(name)
        return Response(status=204)

    return blueprint
