"""Consumers: readers of the feed whose place the service keeps, and their leases."""

from typing import Any

from flask import Blueprint, Response, jsonify, request

from webhook_service.domain.consumers import ConsumerKind, ConsumerReport
from webhook_service.outlet.consumers import Consumers
from webhook_service.outlet.leases import Leases
from webhook_service.outlet.wait_checker import ForConsumer
from webhook_service.outlet.waiting import Waiting
from webhook_service.schemas.body import load_body
from webhook_service.schemas.consumers import (
    ACK,
    EXTEND,
    NACK,
    check_name,
    load_consumer,
    load_lease_query,
    load_start,
    present_consumer,
    present_lease,
)
from webhook_service.schemas.query import refuse_parameters
from webhook_service.storage.database import Database
from webhook_service.web.access import Guard, GuardedBlueprint

ADMINISTRATIVE = {"put": Guard.ADMIN_CALLS, "delete": Guard.ADMIN_CALLS, "seek": Guard.ADMIN_CALLS}


def consumers_blueprint(database: Database) -> Blueprint:
    """Makes the routes to make, change and delete consumers, and to show how they are doing."""
    blueprint = GuardedBlueprint("consumers", __name__, guard=Guard.API, guards=ADMINISTRATIVE, url_prefix="/consumers")
    consumers = Consumers(database, ConsumerKind.CONSUMER)

    @blueprint.get("", strict_slashes=False)
    def list_() -> Response:
        refuse_parameters(request.query_string)
        return jsonify(data=[_present(report) for report in consumers.read_all()])

    @blueprint.get("/<name>")
    def show(name: str) -> Response:
        refuse_parameters(request.query_string)
        return jsonify(_present(consumers.read(name)))

    @blueprint.put("/<name>")
    def put(name: str) -> tuple[Response, int]:
        check_name(name)
        options, start = load_consumer(request.get_data())
        is_new = consumers.put(name, options, start)
        return jsonify(_present(consumers.read(name))), 201 if is_new else 200

    @blueprint.delete("/<name>")
    def delete(name: str) -> Response:
        consumers.delete(name)
        return Response(status=204)

    @blueprint.post("/<name>/seek")
    def seek(name: str) -> Response:
        consumers.seek(name, load_start(request.get_data()))
        return jsonify(_present(consumers.read(name)))

    return blueprint


def leases_blueprint(database: Database, waiting: Waiting) -> Blueprint:
    """Makes the routes by which a consumer takes messages and acknowledges them."""
    blueprint = GuardedBlueprint("leases", __name__, guard=Guard.API, url_prefix="/consumers/<name>")
    leases = Leases(database, ConsumerKind.CONSUMER)

    @blueprint.post("/lease")
    def lease(name: str) -> Response:
        query = load_lease_query(request.query_string)
        given = waiting.for_some(
            lambda: leases.lease(name, limit=query.limit, seconds=query.seconds),
            lambda: ForConsumer(ConsumerKind.CONSUMER, name),
            query.wait,
            leaves_little=lambda lease: lease.leaves_little,
        )
        return Response(status=204) if given is None else jsonify(present_lease(given))

    @blueprint.post("/ack")
    def ack(name: str) -> Response:
        body = load_body(ACK, request.get_data())
        leases.ack(name, body["lease"], body["dead"])
        return Response(status=204)

    @blueprint.post("/nack")
    def nack(name: str) -> Response:
        body = load_body(NACK, request.get_data())
        leases.nack(name, body["lease"], seconds=body["seconds"], reason=body["reason"])
        return Response(status=204)

    @blueprint.post("/extend")
    def extend(name: str) -> Response:
        body = load_body(EXTEND, request.get_data())
        return jsonify(expires_at=leases.extend(name, body["lease"], seconds=body["seconds"]))

    return blueprint


def _present(report: ConsumerReport) -> dict[str, Any]:
    return present_consumer(
        report.consumer, place=report.place, lag=report.lag, leases=report.leases, dead_letters=report.dead_letters
    )
