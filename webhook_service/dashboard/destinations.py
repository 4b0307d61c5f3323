"""Destinations: how each is doing, its waiting messages and dead letters, and the buttons to resume and retry."""

from flask import Response, abort, render_template, request, url_for

from webhook_service.dashboard.pages import Pages
from webhook_service.domain.consumers import ConsumerKind, DeadLetterFilter
from webhook_service.outlet.dead_letters import DeadLetters
from webhook_service.outlet.destinations import Destinations
from webhook_service.schemas.dead_letters import load_dead_letter_filter
from webhook_service.schemas.destinations import NEW, present_url
from webhook_service.schemas.query import refuse_parameters
from webhook_service.storage.database import Database
from webhook_service.storage.queries.dead_letters import find_dead_letter, list_dead_letters
from webhook_service.web.redirects import redirect_to

SHOWN = 50  # waiting messages, and dead letters


def destination_pages(database: Database, destinations: Destinations) -> Pages:
    """Makes the routes of the destinations."""
    pages = Pages("destinations")
    dead_letters = DeadLetters(database)

    @pages.get("/dashboard/destinations")
    def list_() -> str:
        refuse_parameters(request.query_string)
        return render_template(
            "destinations/list.html", reports=destinations.read_all(), present_url=present_url, new=NEW
        )

    @pages.get("/dashboard/destinations/<name>")
    def show(name: str) -> str:
        refuse_parameters(request.query_string)
        return _show(database, destinations, name)

    @pages.post("/dashboard/destinations/<name>/resume")
    def resume(name: str) -> Response:
        destinations.resume(name)
        return _back_to(name)

    @pages.post("/dashboard/destinations/<name>/retry")
    def retry_all(name: str) -> Response:
        since = load_dead_letter_filter(request.query_string).since
        dead_letters.retry_all(DeadLetterFilter(ConsumerKind.DESTINATION, name, since))
        return _back_to(name)

    @pages.post("/dashboard/destinations/<name>/retry/<row_id:dead_letter_id>")
    def retry(name: str, dead_letter_id: int) -> Response:
        with database.primary_snapshot() as snapshot:
            found = find_dead_letter(snapshot, dead_letter_id)
        if found is None or (found.kind, found.consumer) != (ConsumerKind.DESTINATION, name):
            abort(404)
        dead_letters.retry(dead_letter_id)
        return _back_to(name)

    return pages


def _show(database: Database, destinations: Destinations, name: str) -> str:
    report = destinations.read(name)
    waiting = [] if report.place is None else destinations.list_waiting(name, SHOWN)
    with database.primary_snapshot() as snapshot:
        wanted = DeadLetterFilter(ConsumerKind.DESTINATION, name)
        dead = list_dead_letters(snapshot, wanted, after=0, limit=SHOWN).items
    return render_template(
        "destinations/destination.html",
        report=report,
        url=report.target and present_url(report.target),
        new=NEW,
        waiting=waiting,
        dead=dead,
    )


def _back_to(name: str) -> Response:
    return redirect_to(url_for("dashboard_destinations.show", name=name), 303)
