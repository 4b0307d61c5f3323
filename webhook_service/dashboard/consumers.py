"""Consumers: how they are doing, and the messages that they could not take."""

from typing import Any

from flask import abort, render_template, request, url_for

from webhook_service.dashboard.pages import Pages
from webhook_service.domain.consumers import ConsumerKind
from webhook_service.domain.formats import format_timestamp
from webhook_service.outlet.consumers import Consumers
from webhook_service.outlet.dead_letters import DeadLetters
from webhook_service.schemas.dead_letters import (
    DeadLetterQuery,
    dead_letter_cursors,
    load_dead_letter_filter,
    load_dead_letter_query,
)
from webhook_service.storage.database import Database
from webhook_service.storage.queries.dead_letters import list_dead_letters


def consumer_pages(database: Database) -> Pages:
    """Makes the routes of the consumers and of the dead letters."""
    pages = Pages("consumers", home="list_dead")
    consumers = Consumers(database, ConsumerKind.CONSUMER)
    dead_letters = DeadLetters(database)

    @pages.get("/dashboard/consumers")
    def list_() -> str:
        return render_template("consumers/list.html", reports=consumers.read_all())

    @pages.get("/dashboard/dead-letters")
    def list_dead() -> str:
        return _show_dead(database, load_dead_letter_query(request.query_string))

    @pages.post("/dashboard/dead-letters/retry")
    def retry_all() -> str:
        wanted = load_dead_letter_filter(request.query_string)
        number = dead_letters.retry_all(wanted)
        return _show_dead(database, load_dead_letter_query(request.query_string), f"{number:,} will be given again.")

    @pages.post("/dashboard/dead-letters/<row_id:dead_letter_id>/retry")
    def retry(dead_letter_id: int) -> str:
        if not dead_letters.retry(dead_letter_id):
            abort(404)
        return _show_dead(database, load_dead_letter_query(request.query_string), "It will be given again.")

    @pages.post("/dashboard/dead-letters/<row_id:dead_letter_id>/drop")
    def drop(dead_letter_id: int) -> str:
        if not dead_letters.drop(dead_letter_id):
            abort(404)
        return _show_dead(database, load_dead_letter_query(request.query_string), "Dropped for good.")

    return pages


def _show_dead(database: Database, query: DeadLetterQuery, result: str | None = None) -> str:
    with database.primary_snapshot() as snapshot:
        page = list_dead_letters(snapshot, query.filter, after=query.after, limit=query.limit)
    wanted = query.filter
    kept: dict[str, Any] = {
        wanted.kind.value if wanted.kind else "consumer": wanted.consumer,
        "since": None if wanted.since is None else format_timestamp(wanted.since),
    }
    cursor = dead_letter_cursors(wanted).next(page)
    more = cursor and url_for("dashboard_consumers.list_dead", limit=query.limit, cursor=cursor, **kept)
    return render_template(
        "consumers/dead_letters.html", dead_letters=page.items, wanted=wanted, kept=kept, more=more, result=result
    )
