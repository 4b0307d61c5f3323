"""Totals of the store."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from webhook_service.domain.statistics import Stats
from webhook_service.storage.models import MessageRow, SenderCountRow, TotalsRow

TOP_SENDERS = 10
RATE_SPAN = timedelta(minutes=1)
RATE_SAMPLE = 600  # messages from which the rate is reckoned, at most


def read_stats(connection: Connection) -> Stats:
    """Reads the totals and the busiest senders; equally busy senders are in the order of their names."""
    first_ts = select(func.min(MessageRow.ts)).scalar_subquery()
    last_ts = select(func.max(MessageRow.ts)).scalar_subquery()
    totals = connection.execute(select(TotalsRow.messages, TotalsRow.senders, first_ts, last_ts)).one()
    top = connection.execute(
        select(SenderCountRow.sender, SenderCountRow.messages)
        .order_by(SenderCountRow.messages.desc(), SenderCountRow.sender)
        .limit(TOP_SENDERS)
    )
    return Stats(
        total_messages=totals[0],
        senders_count=totals[1],
        top_senders=tuple((sender, number) for sender, number in top),
        first_ts=totals[2],
        last_ts=totals[3],
    )


def read_rate(connection: Connection, now: datetime) -> float:
    """Returns the messages stored a minute now: those of the last minute or, if more, by the pace of the newest 600."""
    newest = select(MessageRow.received_at).order_by(MessageRow.id.desc()).limit(RATE_SAMPLE)
    recent = [moment for moment in connection.scalars(newest) if moment > now - RATE_SPAN]
    if len(recent) < RATE_SAMPLE:
        return float(len(recent))
    return len(recent) * (RATE_SPAN / max(now - min(recent), timedelta(milliseconds=1)))
