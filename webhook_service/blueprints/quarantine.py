"""Deliveries in quarantine: what was kept, why, and how often it came; replaying and dropping them."""

from dataclasses import asdict

from flask import Blueprint, Response, abort, jsonify, request

from webhook_service.domain.quarantine import QuarantineEntry
from webhook_service.domain.results import Outcome
from webhook_service.intake.replaying import drop, replay, replay_page
from webhook_service.intake.take_in import Intake
from webhook_service.schemas.quarantine import (
    load_quarantine_query,
    load_replay_query,
    present_quarantined,
    present_quarantined_whole,
    quarantine_cursors,
)
from webhook_service.schemas.query import refuse_parameters
from webhook_service.storage.database import Database
from webhook_service.storage.queries.quarantine import find_quarantined, list_quarantined
from webhook_service.web.access import Guard, GuardedBlueprint
from webhook_service.web.errors import error_response

ADMINISTRATIVE = {"drop_": Guard.ADMIN_CALLS, "replay_many": Guard.ADMIN_CALLS, "replay_": Guard.ADMIN_CALLS}


def quarantine_blueprint(database: Database, intake: Intake) -> Blueprint:
    """Makes the routes that show the quarantine, and replay or drop deliveries in it."""
    blueprint = GuardedBlueprint(
        "quarantine", __name__, guard=Guard.API, guards=ADMINISTRATIVE, url_prefix="/quarantine"
    )

    @blueprint.get("", strict_slashes=False)
    def list_() -> Response:
        query = load_quarantine_query(request.query_string)
        with database.snapshot() as snapshot:
            page = list_quarantined(snapshot, **asdict(query))
        return jsonify(
            data=[present_quarantined(summary) for summary in page.items],
            next_cursor=quarantine_cursors(query.reason, query.source).next(page),
        )

    @blueprint.get("/<row_id:entry_id>")
    def show(entry_id: int) -> Response:
        refuse_parameters(request.query_string)
        with database.snapshot() as snapshot:
            entry = _found(find_quarantined(snapshot, entry_id))
        return jsonify(present_quarantined_whole(entry))

    @blueprint.delete("/<row_id:entry_id>")
    def drop_(entry_id: int) -> Response:
        drop(database, _find_to_change(database, entry_id).id)
        return Response(status=204)

    @blueprint.post("/replay")
    def replay_many() -> Response:
        query = load_quarantine_query(request.query_string)
        replayed, page = replay_page(database, intake, **asdict(query))
        return jsonify(**asdict(replayed), next_cursor=quarantine_cursors(query.reason, query.source).next(page))

    @blueprint.post("/<row_id:entry_id>/replay")
    def replay_(entry_id: int) -> Response:
        rename = load_replay_query(request.query_string)
        return _replay(_find_to_change(database, entry_id), intake, rename=rename)

    return blueprint


def _replay(entry: QuarantineEntry, intake: Intake, *, rename: bool) -> Response:
    if entry.delivery.source_name not in intake.sources:
        return error_response(409, f"source {entry.delivery.source_name} is not configured")
    verdict = replay(entry, intake, rename=rename)
    numbers = {outcome.value: verdict.outcomes.all().count(outcome) for outcome in Outcome}
    if verdict.is_quarantined:
        return error_response(422, "invalid payload", errors=verdict.problems, **numbers)
    return jsonify(status="ok", **numbers)


def _find_to_change(database: Database, entry_id: int) -> QuarantineEntry:
    with database.primary_snapshot() as snapshot:
        return _found(find_quarantined(snapshot, entry_id))


def _found(entry: QuarantineEntry | None) -> QuarantineEntry:
    if entry is None:
        abort(404)
    return entry
