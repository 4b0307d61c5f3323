"""Counts of messages, kept by triggers, so that a read need not count.

Triggers on ``messages`` keep a count for each sender, for each hour of ``ts`` (in UTC) and source, and for the whole
store, in the transaction that stores or deletes the messages, so they are exact at every moment and no code can forget
them.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, String, func, select, type_coerce, union

from webhook_service.domain.statistics import Interval, Timeline
from webhook_service.storage.models import HourCountRow, MessageRow, SenderCountRow, TotalsRow, UtcDateTime

AnySelect = Select[*tuple[Any, ...]]

_KEPT_TO = {Interval.HOUR: "YYYY-MM-DD HH", Interval.DAY: "YYYY-MM-DD"}
_NEVER = "0001-01-01 00:00:00.000000"


def count_all(connection: Connection) -> int:
    """Reads the number of all messages."""
    return connection.scalars(select(TotalsRow.messages)).one()


def count_of_sender(connection: Connection, sender: str) -> int:
    """Reads the number of messages from a sender."""
    number = connection.scalar(select(SenderCountRow.messages).where(SenderCountRow.sender == sender))
    return number or 0


def count_between(
    connection: Connection, since: datetime | None, until: datetime | None, source: str | None = None
) -> int:
    """Counts the messages, of one source or of all, with a ``ts`` from ``since`` (inclusive) to ``until`` (exclusive).

    Whole hours are read from ``hour_counts``; only the messages in the partial hours at the ends are counted.
    """
    whole = connection.scalar(select(func.sum(HourCountRow.messages)).where(*_whole_hours(since, until, source)))
    ragged = (_count_in_hour(connection, hour, since, until, source) for hour in _ragged_hours(since, until))
    return int(whole or 0) + sum(ragged)


def read_timeline(
    connection: Connection, since: datetime, until: datetime, interval: Interval, source: str | None = None
) -> Timeline:
    """Counts the messages in the range, of one source or of all, by interval; one at an end may lie in it in part."""
    start = start_of(interval, HourCountRow.hour.expression, connection)
    whole = select(start, func.sum(HourCountRow.messages)).where(*_whole_hours(since, until, source)).group_by(start)
    counts = dict.fromkeys(interval.starts(since, until), 0)
    counts.update((moment, int(number)) for moment, number in connection.execute(whole))
    for hour in _ragged_hours(since, until) if counts else ():
        counts[interval.start_of(hour)] += _count_in_hour(connection, hour, since, until, source)
    return Timeline(interval, since, until, tuple(counts.items()))


def count_differences(connection: Connection) -> dict[str, int]:
    """Counts every message anew, and returns for each table of counts how many of its rows are wrong."""
    hour = start_of(Interval.HOUR, MessageRow.ts.expression, connection)
    counted_and_kept: dict[str, tuple[AnySelect, AnySelect]] = {
        "sender_counts": (
            select(MessageRow.sender, func.count()).group_by(MessageRow.sender),
            select(SenderCountRow.sender, SenderCountRow.messages),
        ),
        "hour_counts": (
            select(hour, MessageRow.source, func.count()).group_by(hour, MessageRow.source),
            select(HourCountRow.hour, HourCountRow.source, HourCountRow.messages),
        ),
        "totals": (
            select(func.count(), func.count(MessageRow.sender.distinct())).select_from(MessageRow),
            select(TotalsRow.messages, TotalsRow.senders),
        ),
    }
    return {table: _differing(connection, *both) for table, both in counted_and_kept.items()}


def _differing(connection: Connection, counted: AnySelect, kept: AnySelect) -> int:
    missing, surplus = counted.except_(kept).subquery(), kept.except_(counted).subquery()
    *key, _ = missing.c
    *other_key, _ = surplus.c
    return connection.scalars(
        select(func.count()).select_from(union(select(*key), select(*other_key)).subquery())
    ).one()


def _whole_hours(since: datetime | None, until: datetime | None, source: str | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [] if source is None else [HourCountRow.source == source]
    if since is not None:
        conditions.append(HourCountRow.hour >= since)
    if until is not None:
        conditions.append(HourCountRow.hour < Interval.HOUR.start_of(until))
    return conditions


def _ragged_hours(since: datetime | None, until: datetime | None) -> set[datetime]:
    ends = (end for end in (since, until) if end is not None)
    return {hour for end in ends if (hour := Interval.HOUR.start_of(end)) != end}


def _count_in_hour(
    connection: Connection, hour: datetime, since: datetime | None, until: datetime | None, source: str | None
) -> int:
    inside = [
        MessageRow.ts >= max(hour, since or hour),
        MessageRow.ts <= hour.replace(minute=59, second=59, microsecond=999_999),
    ]
    if until is not None:
        inside.append(MessageRow.ts < until)
    if source is not None:
        inside.append(MessageRow.source == source)
    return connection.scalars(select(func.count()).select_from(MessageRow).where(*inside)).one()


def start_of(interval: Interval, moment: ColumnElement[datetime], connection: Connection) -> ColumnElement[datetime]:
    """Returns the start of the interval that a moment is in; on SQLite it is cut from the stored text."""
    if connection.dialect.name == "postgresql":
        return func.date_trunc(interval.value, moment, "UTC", type_=UtcDateTime)
    kept = len(_KEPT_TO[interval])
    return type_coerce(func.substr(type_coerce(moment, String), 1, kept) + _NEVER[kept:], UtcDateTime)
