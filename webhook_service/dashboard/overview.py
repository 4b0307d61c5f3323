"""Overview: how much came in, when, and from whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flask import render_template, request

from webhook_service.dashboard.pages import Pages
from webhook_service.domain.formats import format_timestamp
from webhook_service.domain.statistics import Interval, Timeline
from webhook_service.schemas.stats import load_timeline_query
from webhook_service.storage.database import Database
from webhook_service.storage.queries.counts import read_timeline
from webhook_service.storage.queries.quarantine import read_sizes
from webhook_service.storage.queries.stats import read_stats


@dataclass(frozen=True, slots=True)
class Bar:
    """The messages of an interval: ``height`` is in percent of the highest, ``since`` and ``until`` are a filter."""

    label: str
    count: int
    height: float
    since: str
    until: str


def overview_pages(database: Database) -> Pages:
    """Routes of the overview."""
    pages = Pages("overview")

    @pages.get("/dashboard/overview")
    def show() -> str:
        query = load_timeline_query(request.query_string, datetime.now(UTC))
        with database.snapshot() as snapshot:
            stats = read_stats(snapshot)
            timeline = read_timeline(snapshot, query.since, query.until, query.interval)
            quarantined = sum(size.deliveries for size in read_sizes(snapshot).values())
        return render_template(
            "overview.html", stats=stats, bars=bars(timeline), interval=query.interval.value, quarantined=quarantined
        )

    return pages


def bars(timeline: Timeline) -> Sequence[Bar]:
    """Makes a bar of each interval; one at an end stands for the part of it that the timeline covers."""
    highest = max((count for _, count in timeline.counts), default=0) or 1
    form = "%Y-%m-%d %H:00" if timeline.interval is Interval.HOUR else "%Y-%m-%d"
    return [
        Bar(
            label=f"{start:{form}}",
            count=count,
            height=round(100 * count / highest, 2),
            since=format_timestamp(max(start, timeline.since)),
            until=format_timestamp(min(start + timeline.interval.length, timeline.until)),
        )
        for start, count in timeline.counts
    ]
