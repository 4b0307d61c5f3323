"""Messages: the list with its filters, one message beside it, word of new ones, and the list as a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from flask import Response, jsonify, render_template, request

from webhook_service.dashboard.filter_matching import matches
from webhook_service.dashboard.filters import Filters, load_filters
from webhook_service.dashboard.pages import Pages, is_for
from webhook_service.dashboard.statuses import statuses_by_recipient
from webhook_service.domain.formats import format_timestamp
from webhook_service.domain.limits import PAGE_MAX
from webhook_service.domain.messages import Duplicates, StoredMessage
from webhook_service.domain.quarantine import QuarantineSummary
from webhook_service.domain.receipts import ReceiptFilter, ReceiptQuery, StoredReceipt
from webhook_service.outlet.wait_checker import AfterMessage
from webhook_service.outlet.waiting import Waiting
from webhook_service.providers.source import Sources
from webhook_service.schemas.export_formats import ExportFormat
from webhook_service.schemas.feed import FEED_CURSORS, load_feed_query
from webhook_service.schemas.messages import message_cursors
from webhook_service.schemas.query import QueryInvalid
from webhook_service.storage.database import Database
from webhook_service.storage.queries.batches import begin_batches
from webhook_service.storage.queries.duplicates import read_duplicates
from webhook_service.storage.queries.messages import find_message, newest_place, read_newest
from webhook_service.storage.queries.pages import read_page
from webhook_service.storage.queries.quarantine import find_conflicts
from webhook_service.storage.queries.receipts import list_receipts
from webhook_service.web.context import current_request

MOST_FOLLOWED = 100  # new messages that are examined to find those for the list
CONFLICTS_EXAMINED = 200  # deliveries in quarantine that are searched for another message with an ID


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of the list; ``next_place`` is the cursor of the next page, ``newest`` the feed's newest place."""

    messages: Sequence[StoredMessage]
    next_place: str | None
    newest: str


@dataclass(frozen=True, slots=True)
class Opened:
    """All that is kept under one message ID. ``message`` is None when there are only receipts, or nothing.

    ``conflicts`` are the deliveries in quarantine with another message of this ID.
    """

    message_id: str
    message: StoredMessage | None
    duplicates: Duplicates
    receipts: Sequence[StoredReceipt]
    statuses: Mapping[str, StoredReceipt]
    conflicts: Sequence[QuarantineSummary]

    @property
    def is_found(self) -> bool:
        """Tells whether there is a message or a receipt under this ID."""
        return self.message is not None or bool(self.receipts)


def message_pages(database: Database, sources: Sources, waiting: Waiting) -> Pages:
    """Makes the routes of the messages; ``sources`` are the configured ones."""
    pages = Pages("messages")

    @pages.get("/dashboard/messages")
    def list_() -> tuple[str, int]:
        filters = load_filters(request.query_string)
        opened = None if filters.opened is None else _open(database, filters.opened)
        is_missing = opened is not None and not opened.is_found
        if is_for("message"):
            return render_template("messages/_message.html", filters=filters, opened=opened), 404 if is_missing else 200
        listed = _list(database, filters)
        if is_for("more"):
            return render_template("messages/_rows.html", filters=filters, listed=listed, place=None), 200
        whole = render_template(
            "messages/list.html",
            filters=filters,
            listed=listed,
            place=filters.place,
            opened=opened,
            sources=sorted(sources),
            providers=sorted({source.provider.name for source in sources.values()}),
        )
        return whole, 422 if filters.problems else 404 if is_missing else 200

    @pages.get("/dashboard/live")
    def tell_new() -> Response:
        current_request().is_routine = True
        return _tell_new(database, waiting)

    @pages.get("/dashboard/export")
    def export() -> Response:
        form = ExportFormat.CSV if request.args.get("format") == ExportFormat.CSV.value else ExportFormat.NDJSON
        return _export(database, load_filters(request.query_string), form)

    return pages


def _list(database: Database, filters: Filters) -> Listed:
    with database.snapshot() as snapshot:
        newest = FEED_CURSORS.write(newest_place(snapshot))
        if filters.query is None:
            return Listed([], None, newest)
        page = read_page(snapshot, filters.query)
    cursors = message_cursors(filters.query.filter, filters.query.order)
    return Listed(page.items, cursors.next(page), newest)


def _open(database: Database, message_id: str) -> Opened:
    with database.snapshot() as snapshot:
        message = find_message(snapshot, message_id)
        duplicates = read_duplicates(snapshot, message.id) if message else Duplicates()
        receipts = list_receipts(snapshot, ReceiptQuery(ReceiptFilter(message_id), PAGE_MAX)).items
        conflicts = find_conflicts(snapshot, message_id, CONFLICTS_EXAMINED)
    in_order = sorted(receipts, key=lambda receipt: (receipt.ts, receipt.id))
    return Opened(message_id, message, duplicates, in_order, statuses_by_recipient(receipts), conflicts)


def _tell_new(database: Database, waiting: Waiting) -> Response:
    query, filters = load_feed_query(_of_feed(request.query_string)), load_filters(request.query_string)

    def read() -> list[StoredMessage] | None:
        with database.snapshot() as snapshot:
            return read_newest(snapshot, query.after, MOST_FOLLOWED) or None

    messages = waiting.for_some(read, lambda: AfterMessage(query.after, for_programs=False), query.wait)
    if messages is None:
        return Response(status=204)
    wanted = filters.query and filters.query.filter
    listed = [message for message in messages if wanted and matches(message, wanted)]
    return jsonify(
        after=FEED_CURSORS.write(messages[0].id),
        messages=[{"message_id": message.message_id, "ts": format_timestamp(message.ts)} for message in listed],
        may_be_more=len(messages) == MOST_FOLLOWED,
    )


def _export(database: Database, filters: Filters, form: ExportFormat) -> Response:
    if filters.query is None:
        raise QueryInvalid(filters.problems)
    batches = begin_batches(database, filters.query.filter, None)
    response = Response(chain([form.header], map(form.lines, batches)), content_type=form.content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="messages.{form.value}"'
    return response


def _of_feed(query_string: bytes) -> bytes:
    """Returns the query string's parameters for the feed, without the filters of the page."""
    return b"&".join(
        pair for pair in query_string.split(b"&") if pair.partition(b"=")[0] in {b"after", b"limit", b"wait"}
    )
