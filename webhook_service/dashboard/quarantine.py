"""The quarantine: the deliveries that were kept and why, and the buttons to replay or drop them."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from http import HTTPStatus

from flask import Response, abort, render_template, request, url_for

from webhook_service.dashboard.fault_spans import split_at_faults
from webhook_service.dashboard.pages import Pages, is_for
from webhook_service.domain.quarantine import QuarantineEntry
from webhook_service.domain.results import Outcome
from webhook_service.domain.verdicts import Verdict
from webhook_service.intake.replaying import Replayed, drop, replay, replay_all
from webhook_service.intake.take_in import Intake
from webhook_service.schemas.quarantine import (
    QuarantineQuery,
    load_quarantine_query,
    load_replay_query,
    quarantine_cursors,
)
from webhook_service.storage.database import Database
from webhook_service.storage.queries.quarantine import count_quarantined, find_quarantined, list_quarantined

RAW_SHOWN = 64 * 1024  # bytes of a body that are shown; the JSON call gives all of it
MOST_COUNTED = 1000  # deliveries that are counted to say how many there are to replay
LONGEST_REPLAY = 5.0  # seconds after which a replay of many asks whether to go on
_IN_A_LINE = 16  # bytes in a line of a hex dump


@dataclass(frozen=True, slots=True)
class RawView:
    """A body as a page shows it: ``text`` is None if it is not UTF-8; ``is_cut`` says that there is more of it.

    The text is in pieces; every second piece is at fault.
    """

    text: Sequence[str] | None
    hex_dump: str
    is_cut: bool


def quarantine_pages(database: Database, intake: Intake) -> Pages:
    """Makes the routes of the quarantine."""
    pages = Pages("quarantine", home="list_")
    pages.after_request(_keep_the_delivery)

    @pages.get("/dashboard/quarantine")
    def list_() -> str:
        return _show_list(database, load_quarantine_query(request.query_string))

    @pages.get("/dashboard/quarantine/<row_id:entry_id>")
    def show(entry_id: int) -> str:
        entry = _find(database, entry_id)
        return render_template("quarantine/entry.html", entry=entry, raw=_view(entry), result=None)

    @pages.post("/dashboard/quarantine/<row_id:entry_id>/replay")
    def replay_(entry_id: int) -> str:
        rename = load_replay_query(request.query_string)
        entry = _find(database, entry_id)
        result, is_gone = _replay(entry, intake, rename=rename)
        if is_gone:
            return _show_gone(result)
        template = "quarantine/_entry.html" if is_for("entry") else "quarantine/entry.html"
        return render_template(template, entry=entry, raw=_view(entry), result=result)

    @pages.post("/dashboard/quarantine/<row_id:entry_id>/drop")
    def drop_(entry_id: int) -> str:
        drop(database, _find(database, entry_id).id)
        return _show_gone("Dropped. Nothing of this delivery is kept.")

    @pages.post("/dashboard/quarantine/replay")
    def replay_many() -> str:
        query = load_quarantine_query(request.query_string)
        of = {"reason": query.reason, "source": query.source}
        replayed, place = replay_all(database, intake, after=query.after, seconds=LONGEST_REPLAY, **of)
        return _show_list(database, replace(query, after=0), _describe_all(replayed), place)

    return pages


def _keep_the_delivery(response: Response) -> Response:
    """Has htmx show an error above the delivery that it is about instead of in its place, unless that is gone."""
    if response.status_code >= HTTPStatus.BAD_REQUEST and response.status_code != HTTPStatus.NOT_FOUND:
        response.headers["HX-Retarget"] = "#result"
    return response


def _view(entry: QuarantineEntry) -> RawView:
    return view_raw(entry.delivery.raw, entry.delivery.problems)


def view_raw(raw: bytes, problems: Collection[str] = ()) -> RawView:
    """Prepares a body for a page; ``problems`` are the paths of the fields at fault."""
    shown = raw[:RAW_SHOWN]
    is_cut = len(raw) > RAW_SHOWN
    try:
        raw.decode()
        text = split_at_faults(shown.decode(errors="ignore"), problems)  # the last character may be cut in two
    except UnicodeDecodeError:
        text = None
    return RawView(text, "\n".join(_hex_lines(shown)), is_cut)


def _hex_lines(raw: bytes) -> Iterator[str]:
    for at in range(0, len(raw), _IN_A_LINE):
        line = raw[at : at + _IN_A_LINE]
        printable = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in line)
        yield f"{at:08x}  {line.hex(' '):<{_IN_A_LINE * 3}} {printable}"


def _show_list(
    database: Database, query: QuarantineQuery, result: str | None = None, replayed_to: int | None = None
) -> str:
    """Shows a page of the list; what comes after ``replayed_to`` was not replayed yet for want of time."""
    of = {"reason": query.reason, "source": query.source}
    with database.primary_snapshot() if result else database.snapshot() as snapshot:
        page = list_quarantined(snapshot, **asdict(query))
        to_replay = count_quarantined(snapshot, after=replayed_to or 0, most=MOST_COUNTED + 1, **of)
    cursors = quarantine_cursors(query.reason, query.source)
    place = cursors.next(page)
    url = partial(url_for, "dashboard_quarantine.list_", reason=query.reason, source=query.source)
    return render_template(
        "quarantine/list.html",
        entries=page.items,
        query=query,
        more=place and url(limit=query.limit, cursor=place),
        result=result,
        to_replay=to_replay,
        most_counted=MOST_COUNTED,
        replayed_to=replayed_to and cursors.write(replayed_to),
    )


def _show_gone(result: str) -> str:
    return render_template("_notice.html" if is_for("entry") else "quarantine/gone.html", result=result)


def _find(database: Database, entry_id: int) -> QuarantineEntry:
    with database.primary_snapshot() as snapshot:
        entry = find_quarantined(snapshot, entry_id)
    if entry is None:
        abort(404)
    return entry


def _replay(entry: QuarantineEntry, intake: Intake, *, rename: bool) -> tuple[str, bool]:
    """Replays a delivery; returns a sentence about the result, and whether the delivery left the quarantine."""
    if entry.delivery.source_name not in intake.sources:
        return f"Not tried: the source {entry.delivery.source_name} is not configured.", False
    verdict = replay(entry, intake, rename=rename)
    return _describe(verdict), not verdict.is_quarantined


def _describe_all(replayed: Replayed) -> str:
    return (
        f"{replayed.released:,} left the quarantine ({replayed.created:,} created, {replayed.duplicate:,} duplicate, "
        f"{replayed.conflict:,} conflict), {replayed.quarantined:,} still in quarantine."
    )


def _describe(verdict: Verdict) -> str:
    outcomes = verdict.outcomes.all()
    stored = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in Outcome)
    if not verdict.is_quarantined:
        return f"All of it is stored: {stored}. It left the quarantine."
    faults = "".join(f" {name}: {' '.join(problems)}" for name, problems in verdict.problems.items())
    return f"Still in quarantine: {verdict.reason}.{faults} {stored}."
