"""Totals, and counts over time."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from marshmallow import EXCLUDE, Schema, fields

from webhook_service.domain import Interval, Stats, Timeline
from webhook_service.formats import format_timestamp
from webhook_service.limits import TIMELINE_MAX
from webhook_service.schemas.fields import Timestamp
from webhook_service.schemas.query import QueryInvalid, load_query

TIMELINE_DEFAULT = {Interval.HOUR: 24, Interval.DAY: 30}


class TimelineQuerySchema(Schema):
    """The query string of ``GET /stats/timeline``."""

    interval = fields.Enum(Interval, by_value=True, load_default=Interval.DAY)
    since = Timestamp(load_default=None)
    until = Timestamp(load_default=None)


@dataclass(frozen=True, slots=True)
class TimelineQuery:
    """The part of the timeline that a caller of ``GET /stats/timeline`` asks for."""

    interval: Interval
    since: datetime
    until: datetime


_timeline_query = TimelineQuerySchema(unknown=EXCLUDE)


def load_timeline_query(query_string: bytes, now: datetime) -> TimelineQuery:
    """The part of the timeline that a query string asks for; QueryInvalid when a parameter is bad.

    Without ``until`` it ends now; without ``since`` it is the last day by the hour, or the last 30 days by the day.
    """
    loaded = load_query(_timeline_query, query_string)
    interval: Interval = loaded["interval"]
    until: datetime = loaded["until"] or now
    since: datetime = loaded["since"] or _intervals_before(until, interval)
    if interval.number(since, until) > TIMELINE_MAX:
        raise QueryInvalid({"since": [f"Must be at most {TIMELINE_MAX} intervals before until."]})
    return TimelineQuery(interval, since, until)


def _intervals_before(until: datetime, interval: Interval) -> datetime:
    try:
        return until - interval.length * TIMELINE_DEFAULT[interval]
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def present_stats(stats: Stats) -> dict[str, Any]:
    """The totals of the store as their JSON object; times are null while it is empty."""
    return {
        "total_messages": stats.total_messages,
        "senders_count": stats.senders_count,
        "messages_per_sender": [{"from": sender, "count": count} for sender, count in stats.top_senders],
        "first_message_ts": stats.first_ts and format_timestamp(stats.first_ts),
        "last_message_ts": stats.last_ts and format_timestamp(stats.last_ts),
    }


def present_timeline(timeline: Timeline) -> dict[str, Any]:
    """Counts over time as their JSON object."""
    return {
        "interval": timeline.interval.value,
        "since": format_timestamp(timeline.since),
        "until": format_timestamp(timeline.until),
        "data": [{"start": format_timestamp(start), "count": count} for start, count in timeline.counts],
    }
