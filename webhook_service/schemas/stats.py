"""Totals, and counts over time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from marshmallow import EXCLUDE, Schema, fields

from webhook_service.domain.limits import TIMELINE_MAX
from webhook_service.domain.statistics import Interval, Stats, Timeline
from webhook_service.schemas.fields import TimestampField, no_nul
from webhook_service.schemas.query import QueryInvalid, load_parameters, read_query_string

TIMELINE_DEFAULT = {Interval.HOUR: 24, Interval.DAY: 30}


class TimelineQuerySchema(Schema):
    """The query string of ``GET /stats/timeline``."""

    interval = fields.Enum(
        Interval,
        by_value=True,
        load_default=Interval.DAY,
        metadata={"description": "By the hour or by the day, in UTC."},
    )
    since = TimestampField(
        load_default=None,
        metadata={
            "description": "Count `ts` from this on; at most 1,000 intervals before `until`.",
            "example": "2026-01-01T00:00:00Z",
        },
    )
    until = TimestampField(
        load_default=None,
        metadata={"description": "Count `ts` before this; now unless said.", "example": "2026-01-31T00:00:00Z"},
    )

    source = fields.String(
        load_default=None,
        validate=no_nul,
        metadata={"description": "Count only messages of this source.", "example": "native"},
    )


@dataclass(frozen=True, slots=True)
class TimelineQuery:
    """A request for counts by interval, ``since`` (inclusive) to ``until`` (exclusive); ``source`` is None for all."""

    interval: Interval
    since: datetime
    until: datetime
    source: str | None = None


_timeline_query = TimelineQuerySchema(unknown=EXCLUDE)


def load_timeline_query(query_string: bytes, now: datetime) -> TimelineQuery:
    """Loads a query string; QueryInvalid when a parameter is bad.

    Unless given, ``until`` is now, and ``since`` is 24 hours before it by the hour, 30 days before it by the day.
    """
    return load_timeline_parameters(read_query_string(query_string), now)


def load_timeline_parameters(parameters: Mapping[str, str], now: datetime) -> TimelineQuery:
    """Loads parameters by name, as ``load_timeline_query`` loads those of a query string."""
    loaded = load_parameters(_timeline_query, parameters)
    interval: Interval = loaded["interval"]
    until: datetime = loaded["until"] or now
    since: datetime = loaded["since"] or _intervals_before(until, interval)
    if interval.number(since, until) > TIMELINE_MAX:
        raise QueryInvalid({"since": [f"Must be at most {TIMELINE_MAX:,} {interval.value}s before until."]})
    return TimelineQuery(interval, since, until, loaded["source"])


def _intervals_before(until: datetime, interval: Interval) -> datetime:
    try:
        return until - interval.length * TIMELINE_DEFAULT[interval]
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def present_stats(stats: Stats) -> dict[str, Any]:
    """Converts the totals of the store to their JSON object, for ``encode_json``; an empty store has null times."""
    return {
        "total_messages": stats.total_messages,
        "senders_count": stats.senders_count,
        "messages_per_sender": [{"from": sender, "count": count} for sender, count in stats.top_senders],
        "first_message_ts": stats.first_ts,
        "last_message_ts": stats.last_ts,
    }


def present_timeline(timeline: Timeline) -> dict[str, Any]:
    """Converts counts over time to their JSON object, for ``encode_json``."""
    return {
        "interval": timeline.interval.value,
        "since": timeline.since,
        "until": timeline.until,
        "data": [{"start": start, "count": count} for start, count in timeline.counts],
    }
