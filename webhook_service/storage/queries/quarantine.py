"""The table of quarantined deliveries."""

import hashlib
from itertools import starmap

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from webhook_service.domain.paging import Page
from webhook_service.domain.quarantine import Quarantined, QuarantineEntry, QuarantineSummary
from webhook_service.storage.models import QuarantineRow


def keep(connection: Connection, delivery: Quarantined) -> None:
    """Stores a delivery, or adds one to the count when the same bytes have come from the same provider before."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(QuarantineRow).values(
        provider=delivery.provider,
        body_sha256=hashlib.sha256(delivery.raw).hexdigest(),
        raw=delivery.raw,
        headers=dict(delivery.headers),
        target=delivery.target,
        reason=delivery.reason,
        problems=dict(delivery.problems),
        first_at=delivery.received_at,
        last_at=delivery.received_at,
        count=1,
    )
    came_again = insert.on_conflict_do_update(
        index_elements=[QuarantineRow.provider, QuarantineRow.body_sha256],
        set_={
            "count": QuarantineRow.count + 1,
            "last_at": insert.excluded.last_at,
            "reason": insert.excluded.reason,
            "problems": insert.excluded.problems,
        },
    )
    connection.execute(came_again)


def find_quarantined(connection: Connection, entry_id: int) -> QuarantineEntry | None:
    """Reads the quarantined delivery with this id, with its body."""
    whole = select(
        QuarantineRow.provider,
        QuarantineRow.raw,
        QuarantineRow.headers,
        QuarantineRow.target,
        QuarantineRow.reason,
        QuarantineRow.problems,
        QuarantineRow.first_at,
        QuarantineRow.last_at,
        QuarantineRow.count,
    )
    row = connection.execute(whole.where(QuarantineRow.id == entry_id)).one_or_none()
    if row is None:
        return None
    provider, raw, headers, target, reason, problems, first_at, last_at, count = row
    delivery = Quarantined(provider, raw, headers, target, reason, problems, first_at)
    return QuarantineEntry(entry_id, delivery, last_at, count)


def list_quarantined(
    connection: Connection, *, after: int, limit: int, reason: str | None = None
) -> Page[QuarantineSummary, int]:
    """Reads a page of quarantined deliveries after the one with the id ``after``, oldest first, without bodies.

    With ``reason``, only those that were not understood for it.
    """
    for_reason = [] if reason is None else [QuarantineRow.reason == reason]
    page = (
        select(
            QuarantineRow.id,
            QuarantineRow.provider,
            QuarantineRow.reason,
            QuarantineRow.problems,
            QuarantineRow.first_at,
            QuarantineRow.last_at,
            QuarantineRow.count,
            func.length(QuarantineRow.raw),
        )
        .where(QuarantineRow.id > after, *for_reason)
        .order_by(QuarantineRow.id)
        .limit(limit + 1)
    )
    found = list(starmap(QuarantineSummary, connection.execute(page)))
    return Page.cut(found, limit, lambda summary: summary.id)


def release(connection: Connection, entry_id: int) -> bool:
    """Removes a delivery from quarantine; False when it is not there."""
    return connection.execute(delete(QuarantineRow).where(QuarantineRow.id == entry_id)).rowcount > 0


def count_quarantined(connection: Connection) -> dict[str, int]:
    """Counts the deliveries in quarantine, by provider."""
    by_provider = select(QuarantineRow.provider, func.count().label("number")).group_by(QuarantineRow.provider)
    return {row.provider: row.number for row in connection.execute(by_provider)}
