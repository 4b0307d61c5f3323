"""Totals and counts over time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Stats:
    """The totals of the store; ``top_senders`` are (sender, count) pairs, the busiest first."""

    total_messages: int
    senders_count: int
    top_senders: tuple[tuple[str, int], ...]
    first_ts: datetime | None
    last_ts: datetime | None


@dataclass(frozen=True, slots=True)
class Age:
    """The most seconds by which a replica's answer may be behind the primary; None when that can't be known."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Space:
    """The bytes that the database takes, and those free on its disk; None if the disk is another machine's."""

    used: int
    free: int | None


class Interval(StrEnum):
    """An hour or a day, in UTC."""

    HOUR = "hour"
    DAY = "day"

    @property
    def length(self) -> timedelta:
        """Returns the length of the interval."""
        return timedelta(hours=1) if self is Interval.HOUR else timedelta(days=1)

    def start_of(self, moment: datetime) -> datetime:
        """Returns the start of the interval that an aware UTC datetime is in."""
        hour = moment.replace(minute=0, second=0, microsecond=0)
        return hour if self is Interval.HOUR else hour.replace(hour=0)

    def number(self, since: datetime, until: datetime) -> int:
        """Counts the intervals that the time from ``since`` to ``until`` (exclusive) touches."""
        return -((self.start_of(since) - until) // self.length) if since < until else 0

    def starts(self, since: datetime, until: datetime) -> Iterator[datetime]:
        """Returns the start of each interval that the time from ``since`` to ``until`` (exclusive) touches."""
        first = self.start_of(since)
        return (first + self.length * at for at in range(self.number(since, until)))


@dataclass(frozen=True, slots=True)
class Timeline:
    """The number of messages with a ``ts`` from ``since`` (inclusive) to ``until`` (exclusive), by interval.

    ``counts`` are (start, count) pairs in order, zeros included; messages outside the range are not counted.
    """

    interval: Interval
    since: datetime
    until: datetime
    counts: tuple[tuple[datetime, int], ...]
