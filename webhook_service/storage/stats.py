"""Totals of the store."""

from sqlalchemy import Connection, func, select

from webhook_service.domain import Stats
from webhook_service.storage.models import MessageRow

TOP_SENDERS = 10


def read_stats(connection: Connection) -> Stats:
    """The totals and the busiest senders; equally busy ones by name."""
    total, senders, first_ts, last_ts = connection.execute(
        select(
            func.count(),
            func.count(MessageRow.sender.distinct()),
            func.min(MessageRow.ts),
            func.max(MessageRow.ts),
        )
    ).one()
    count = func.count()
    top = connection.execute(
        select(MessageRow.sender, count)
        .group_by(MessageRow.sender)
        .order_by(count.desc(), MessageRow.sender)
        .limit(TOP_SENDERS)
    )
    return Stats(total, senders, tuple((sender, number) for sender, number in top), first_ts, last_ts)
