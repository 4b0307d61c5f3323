"""Totals of the store."""

from sqlalchemy import Connection, func, select

from webhook_service.domain.statistics import Stats
from webhook_service.storage.models import MessageRow, SenderCountRow, TotalsRow

TOP_SENDERS = 10


def read_stats(connection: Connection) -> Stats:
    """Reads the totals and the busiest senders; equally busy ones are in the order of their names."""
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
