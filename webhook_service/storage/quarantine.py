"""Deliveries in and out of quarantine."""

import hashlib
from datetime import datetime

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from webhook_service.domain import Quarantined, QuarantineEntry
from webhook_service.storage.models import QuarantineRow


def keep(connection: Connection, delivery: Quarantined) -> None:
    """Keeps a delivery, or counts once more that the same bytes came from the same provider."""
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
    """The quarantined delivery with this id."""
    row = connection.execute(select(QuarantineRow.__table__).where(QuarantineRow.id == entry_id)).one_or_none()
    return None if row is None else _to_entry(**row._asdict())


def list_quarantined(connection: Connection, *, after: int, limit: int) -> list[QuarantineEntry]:
    """The quarantined deliveries with an id greater than ``after``, oldest first."""
    page = select(QuarantineRow.__table__).where(QuarantineRow.id > after).order_by(QuarantineRow.id).limit(limit)
    return [_to_entry(**row._asdict()) for row in connection.execute(page)]


def release(connection: Connection, entry_id: int) -> bool:
    """Removes a delivery from quarantine; False when it is not there."""
    return connection.execute(delete(QuarantineRow).where(QuarantineRow.id == entry_id)).rowcount > 0


def count_quarantined(connection: Connection) -> dict[str, int]:
    """How many deliveries are in quarantine, by provider."""
    by_provider = select(QuarantineRow.provider, func.count().label("number")).group_by(QuarantineRow.provider)
    return {row.provider: row.number for row in connection.execute(by_provider)}


def _to_entry(
    *,
    id: int,  # noqa: A002  # the column's name
    provider: str,
    body_sha256: str,  # noqa: ARG001  # only there to tell deliveries apart
    raw: bytes,
    headers: dict[str, str],
    target: str,
    reason: str,
    problems: dict[str, list[str]],
    first_at: datetime,
    last_at: datetime,
    count: int,
) -> QuarantineEntry:
    delivery = Quarantined(provider, raw, headers, target, reason, problems, first_at)
    return QuarantineEntry(id, delivery, last_at, count)
