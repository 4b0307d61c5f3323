"""The table of activity: what became of deliveries, by source and hour."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import starmap

from sqlalchemy import ColumnElement, Connection, Select, case, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from webhook_service.domain.activity import AUTHENTIC_OUTCOMES, Activity, DeliveryOutcome, SourceActivity
from webhook_service.domain.statistics import Interval
from webhook_service.storage.models import ActivityRow
from webhook_service.storage.queries.counts import start_of
from webhook_service.storage.writing import Transaction

_Selected = Select[str, str, datetime, int, datetime, str | None, str | None]
_COLUMNS = (
    ActivityRow.source,
    ActivityRow.outcome,
    ActivityRow.hour,
    ActivityRow.count,
    ActivityRow.last_at,
    ActivityRow.last_reason,
    ActivityRow.last_hint,
)


def add_activity(transaction: Transaction, counted: Iterable[Activity]) -> None:
    """Adds counts to those in the table, as ``Activity.add`` does."""
    rows = [
        {
            "source": each.source,
            "outcome": each.outcome.value,
            "hour": each.hour,
            "count": each.count,
            "last_at": each.last_at,
            "last_reason": each.last_reason,
            "last_hint": each.last_hint,
        }
        for each in counted
    ]
    make = postgresql.insert if transaction.dialect.name == "postgresql" else sqlite.insert
    insert = make(ActivityRow)
    new = insert.excluded
    is_told = new.last_reason.is_not(None) & or_(
        new.last_hint.is_not(None), new.last_reason.is_distinct_from(ActivityRow.last_reason)
    )
    upsert = insert.on_conflict_do_update(
        index_elements=[ActivityRow.source, ActivityRow.outcome, ActivityRow.hour],
        set_={
            "count": ActivityRow.count + new.count,
            "last_at": case((new.last_at > ActivityRow.last_at, new.last_at), else_=ActivityRow.last_at),
            "last_reason": case((is_told, new.last_reason), else_=ActivityRow.last_reason),
            "last_hint": case((is_told, new.last_hint), else_=ActivityRow.last_hint),
        },
    )
    transaction.execute(upsert, rows)


def read_outcomes(
    connection: Connection, since: datetime, until: datetime, interval: Interval, source: str | None = None
) -> Mapping[DeliveryOutcome, Mapping[datetime, int]]:
    """Counts the deliveries of one source or of all by outcome and interval, of the hours that the range touches."""
    start = start_of(interval, ActivityRow.hour.expression, connection)
    of_source = [] if source is None else [ActivityRow.source == source]
    counted = (
        select(ActivityRow.outcome, start, func.sum(ActivityRow.count))
        .where(*_hours(since, until), *of_source)
        .group_by(ActivityRow.outcome, start)
    )
    counts: defaultdict[DeliveryOutcome, dict[datetime, int]] = defaultdict(dict)
    for outcome, moment, number in connection.execute(counted):
        counts[DeliveryOutcome(outcome)][moment] = int(number)
    return counts


def read_sources(connection: Connection, since: datetime, until: datetime) -> Mapping[str, SourceActivity]:
    """Counts the deliveries of each source by outcome, in the hours that the range touches."""
    counted = (
        select(ActivityRow.source, ActivityRow.outcome, func.sum(ActivityRow.count), func.max(ActivityRow.last_at))
        .where(*_hours(since, until))
        .group_by(ActivityRow.source, ActivityRow.outcome)
    )
    counts: defaultdict[str, dict[DeliveryOutcome, int]] = defaultdict(dict)
    latest: defaultdict[str, dict[DeliveryOutcome, datetime]] = defaultdict(dict)
    for source, outcome, number, last_at in connection.execute(counted):
        counts[source][DeliveryOutcome(outcome)] = int(number)
        latest[source][DeliveryOutcome(outcome)] = last_at
    return {source: SourceActivity(counts[source], latest[source]) for source in counts}


def read_refusals(connection: Connection, limit: int) -> Sequence[Activity]:
    """Reads the activity of the latest refused deliveries, by source and hour, the latest first."""
    refused = _select().where(ActivityRow.outcome == DeliveryOutcome.REFUSED.value)
    return _read(connection, refused.order_by(ActivityRow.hour.desc(), ActivityRow.last_at.desc()).limit(limit))


def read_latest(connection: Connection, source: str, outcome: DeliveryOutcome) -> Activity | None:
    """Reads the activity of the latest hour in which deliveries of a source had this outcome."""
    latest = _select().where(ActivityRow.source == source, ActivityRow.outcome == outcome.value)
    return next(iter(_read(connection, latest.order_by(ActivityRow.hour.desc()).limit(1))), None)


def read_last_delivery(connection: Connection, source: str) -> datetime | None:
    """Reads when the latest delivery of a source came that had a right signature."""
    latest = (read_latest(connection, source, outcome) for outcome in AUTHENTIC_OUTCOMES)
    return max((activity.last_at for activity in latest if activity), default=None)


def _select() -> _Selected:
    return select(*_COLUMNS)


def _read(connection: Connection, rows: _Selected) -> list[Activity]:
    return list(starmap(_activity, connection.execute(rows)))


def _activity(
    source: str, outcome: str, hour: datetime, count: int, last_at: datetime, reason: str | None, hint: str | None
) -> Activity:
    return Activity(source, DeliveryOutcome(outcome), hour, count, last_at, reason, hint)


def _hours(since: datetime, until: datetime) -> list[ColumnElement[bool]]:
    return [ActivityRow.hour >= Interval.HOUR.start_of(since), ActivityRow.hour < until]
