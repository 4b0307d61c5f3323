"""The overview: totals, a chart over time, the sources, and the latest refusals."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from flask import render_template, request

from webhook_service.dashboard.filters import with_zones
from webhook_service.dashboard.pages import Pages, is_for
from webhook_service.domain.activity import DeliveryOutcome, SourceActivity
from webhook_service.domain.formats import format_timestamp
from webhook_service.domain.statistics import Interval, Stats, Timeline
from webhook_service.schemas.query import QueryInvalid, read_query_string
from webhook_service.schemas.stats import TimelineQuery, load_timeline_parameters
from webhook_service.storage.database import Database
from webhook_service.storage.queries.activity import read_outcomes, read_refusals, read_sources
from webhook_service.storage.queries.counts import read_timeline
from webhook_service.storage.queries.quarantine import read_sizes
from webhook_service.storage.queries.stats import read_rate, read_stats
from webhook_service.web.context import current_request

SOURCES_SPAN = timedelta(days=30)
REFUSALS_SHOWN = 8

# The outcomes that the chart shows beside the messages: those of deliveries that created none.
BESIDE_MESSAGES = (
    DeliveryOutcome.DUPLICATE,
    DeliveryOutcome.CONFLICT,
    DeliveryOutcome.QUARANTINED,
    DeliveryOutcome.REFUSED,
    DeliveryOutcome.UNAVAILABLE,
)


@dataclass(frozen=True, slots=True)
class Figures:
    """The totals at the top; ``rate`` is in messages a minute."""

    stats: Stats
    rate: float
    quarantined: int


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of the chart: the messages of an interval, and the deliveries that created none, by outcome.

    ``since`` and ``until`` are the filters for the messages in it.
    """

    start: datetime
    label: str
    count: int
    outcomes: Mapping[DeliveryOutcome, int]
    since: str
    until: str


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A source with its deliveries of the last 30 days."""

    name: str
    activity: SourceActivity

    @property
    def last_at(self) -> datetime | None:
        """Returns the time of the latest delivery; None if there was none."""
        return max(self.activity.last_at.values(), default=None)


@dataclass(frozen=True, slots=True)
class Span:
    """The query string of the overview, read for a page.

    ``given`` are the parameters as the form shows them again. If one is bad, ``problems`` says what is wrong, by
    parameter, and ``query`` is for the latest time.
    """

    given: Mapping[str, str]
    query: TimelineQuery
    problems: Mapping[str, list[str]] = field(default_factory=dict)


def overview_pages(database: Database, sources: Collection[str]) -> Pages:
    """Makes the routes of the overview; ``sources`` are the names of the configured ones."""
    pages = Pages("overview")

    @pages.get("/dashboard/overview")
    def show() -> str | tuple[str, int]:
        now = datetime.now(UTC)
        if is_for("figures"):
            current_request().is_routine = True
            return render_template("overview/_figures.html", figures=_read_figures(database, now))
        span = load_span(request.query_string, now)
        return _show(database, sources, span, now), 422 if span.problems else 200

    return pages


def load_span(query_string: bytes, now: datetime) -> Span:
    """Loads a query string; the result reports bad parameters. QueryInvalid when it is not UTF-8."""
    given = read_query_string(query_string)
    try:
        return Span(given, load_timeline_parameters(with_zones(given), now))
    except QueryInvalid as invalid:
        kept = {"interval", "source"} - invalid.problems.keys()
        good = {name: value for name, value in given.items() if name in kept}
        return Span(given, load_timeline_parameters(good, now), invalid.problems)


def _show(database: Database, sources: Collection[str], span: Span, now: datetime) -> str:
    query = span.query
    with database.snapshot() as snapshot:
        wanted = (query.since, query.until, query.interval, query.source)
        shown = bars(read_timeline(snapshot, *wanted), read_outcomes(snapshot, *wanted))
        by_source = read_sources(snapshot, now - SOURCES_SPAN, now)
        refusals = read_refusals(snapshot, REFUSALS_SHOWN)
    names = [*sources, *sorted(by_source.keys() - set(sources))]
    return render_template(
        "overview/show.html",
        figures=_read_figures(database, now),
        bars=shown,
        chart=chart_of(shown, query),
        query=query,
        given=span.given,
        errors=span.problems,
        intervals=list(Interval),
        sources=[SourceRow(name, by_source.get(name, SourceActivity())) for name in names],
        refusals=refusals,
        outcomes=BESIDE_MESSAGES,
    )


def _read_figures(database: Database, now: datetime) -> Figures:
    with database.snapshot() as snapshot:
        quarantined = sum(size.deliveries for size in read_sizes(snapshot).values())
        return Figures(read_stats(snapshot), read_rate(snapshot, now), quarantined)


def bars(timeline: Timeline, outcomes: Mapping[DeliveryOutcome, Mapping[datetime, int]]) -> Sequence[Bar]:
    """Makes a bar of each interval; the first and the last may cover only a part of their interval."""
    form = "%Y-%m-%d %H:00" if timeline.interval.length < timedelta(days=1) else "%Y-%m-%d"
    return [
        Bar(
            start=start,
            label=f"{start:{form}}",
            count=count,
            outcomes={outcome: outcomes.get(outcome, {}).get(start, 0) for outcome in BESIDE_MESSAGES},
            since=format_timestamp(max(start, timeline.since)),
            until=format_timestamp(start + min(timeline.interval.length, timeline.until - start)),
        )
        for start, count in timeline.counts
    ]


def chart_of(shown: Sequence[Bar], query: TimelineQuery) -> dict[str, object]:
    """Returns the data of the chart: the starts of intervals in seconds since 1970, and the counts of each series."""
    return {
        "length": int(query.interval.length.total_seconds()),
        "starts": [int(bar.start.timestamp()) for bar in shown],
        "messages": [bar.count for bar in shown],
        **{outcome.value: [bar.outcomes[outcome] for bar in shown] for outcome in BESIDE_MESSAGES},
    }
