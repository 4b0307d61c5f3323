"""The table of quarantined deliveries."""

import hashlib
import json
from collections.abc import Sequence
from itertools import starmap

from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update

from webhook_service.domain.limits import QUARANTINE_MAX_BYTES
from webhook_service.domain.paging import Page
from webhook_service.domain.quarantine import (
    MORE_PROBLEMS,
    Quarantined,
    QuarantineEntry,
    QuarantineSize,
    QuarantineSummary,
)
from webhook_service.domain.results import Reason
from webhook_service.storage.models import QuarantineRow, QuarantineSizeRow

_PROVIDER = func.coalesce(QuarantineRow.provider, QuarantineRow.source)
_SUMMARIES = select(
    QuarantineRow.id,
    QuarantineRow.source,
    _PROVIDER,
    QuarantineRow.reason,
    QuarantineRow.problems,
    QuarantineRow.first_at,
    QuarantineRow.last_at,
    QuarantineRow.count,
    func.length(QuarantineRow.raw),
)


def add_quarantined(connection: Connection, delivery: Quarantined, most_bytes: int = QUARANTINE_MAX_BYTES) -> bool:
    """Stores a delivery, or adds one to its count when the same bytes have come from the same source before.

    False when it was not stored, since what is kept of its source would become larger than ``most_bytes``.
    """
    if _count_again(connection, delivery):
        return True
    if read_bytes(connection, delivery.source_name) + len(delivery.raw) > most_bytes:
        return False
    new = {
        QuarantineRow.source: delivery.source_name,
        QuarantineRow.provider: None if delivery.provider == delivery.source_name else delivery.provider,
        QuarantineRow.body_sha256: _digest(delivery),
        QuarantineRow.raw: delivery.raw,
        QuarantineRow.headers: dict(delivery.headers),
        QuarantineRow.target: delivery.target,
        QuarantineRow.reason: delivery.reason,
        QuarantineRow.problems: dict(delivery.problems),
        QuarantineRow.first_at: delivery.received_at,
        QuarantineRow.last_at: delivery.received_at,
        QuarantineRow.count: 1,
    }
    connection.execute(insert(QuarantineRow).values(new))
    return True


def _count_again(connection: Connection, delivery: Quarantined) -> bool:
    """Adds one to the count of a delivery; False when it has not come before. The caller has the turn to write."""
    came_again = (
        update(QuarantineRow)
        .where(QuarantineRow.source == delivery.source_name, QuarantineRow.body_sha256 == _digest(delivery))
        .values(
            count=QuarantineRow.count + 1,
            last_at=delivery.received_at,
            reason=delivery.reason,
            problems=dict(delivery.problems),
        )
    )
    return connection.execute(came_again).rowcount > 0


def _digest(delivery: Quarantined) -> str:
    return hashlib.sha256(delivery.raw).hexdigest()


def find_quarantined(connection: Connection, entry_id: int) -> QuarantineEntry | None:
    """Reads the quarantined delivery with this id, with its body."""
    whole = select(
        QuarantineRow.source,
        _PROVIDER,
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
    source, provider, raw, headers, target, reason, problems, first_at, last_at, count = row
    delivery = Quarantined(provider, raw, headers, target, reason, problems, first_at, source)
    return QuarantineEntry(entry_id, delivery, last_at, count)


def list_quarantined(
    connection: Connection, *, after: int, limit: int, reason: str | None = None, source: str | None = None
) -> Page[QuarantineSummary, int]:
    """Reads a page of quarantined deliveries after the one with the id ``after``, oldest first, without bodies.

    With ``reason``, reads only those that are kept for that reason; with ``source``, only those that came to it.
    """
    page = _SUMMARIES.where(*_conditions(after, reason, source)).order_by(QuarantineRow.id).limit(limit + 1)
    found = list(starmap(QuarantineSummary, connection.execute(page)))
    return Page.cut(found, limit, lambda summary: summary.id)


def count_quarantined(connection: Connection, *, after: int, reason: str | None, source: str | None, most: int) -> int:
    """Counts the deliveries that ``list_quarantined`` would list, up to ``most`` of them."""
    listed = select(QuarantineRow.id).where(*_conditions(after, reason, source)).limit(most)
    return connection.scalar(select(func.count()).select_from(listed.subquery())) or 0


def _conditions(after: int, reason: str | None, source: str | None) -> list[ColumnElement[bool]]:
    conditions = [QuarantineRow.id > after]
    if reason is not None:
        conditions.append(QuarantineRow.reason == reason)
    if source is not None:
        conditions.append(QuarantineRow.source == source)
    return conditions


def find_conflicts(connection: Connection, message_id: str, among: int) -> list[QuarantineSummary]:
    """Finds the deliveries that are kept since they hold another message with this ID; newest first.

    Only the ``among`` newest deliveries that are kept for a conflict are examined. Where one has more conflicts than
    are named, it is among them if its body holds the ID: it may be that of such a message.
    """
    newest = _SUMMARIES.where(QuarantineRow.reason == Reason.ID_CONFLICT.value).order_by(QuarantineRow.id.desc())
    kept = list(starmap(QuarantineSummary, connection.execute(newest.limit(among))))
    named = {each.id for each in kept if Reason.ID_CONFLICT.value in each.problems.get(message_id, ())}
    cut = [each.id for each in kept if MORE_PROBLEMS in each.problems and each.id not in named]
    found = named | (_find_holding(connection, message_id, cut) if cut else set())
    return [each for each in kept if each.id in found]


def _find_holding(connection: Connection, message_id: str, among: Sequence[int]) -> set[int]:
    """Finds the deliveries whose body holds an ID, as it is or as JSON may write it."""
    find = func.pg_catalog.position if connection.dialect.name == "postgresql" else func.instr
    written = {message_id.encode(), json.dumps(message_id)[1:-1].encode()}
    holds = or_(*(find(QuarantineRow.raw, each) > 0 for each in written))
    holding = select(QuarantineRow.id).where(QuarantineRow.id.in_(among), holds)
    return set(connection.scalars(holding))


def delete_quarantined(connection: Connection, entry_id: int) -> bool:
    """Removes a delivery from quarantine; False when it is not there."""
    return connection.execute(delete(QuarantineRow).where(QuarantineRow.id == entry_id)).rowcount > 0


def read_bytes(connection: Connection, source: str) -> int:
    """Reads the number of bytes that the deliveries of a source take in quarantine."""
    size = connection.scalar(select(QuarantineSizeRow.bytes).where(QuarantineSizeRow.source == source))
    return size or 0


def read_sizes(connection: Connection) -> dict[str, QuarantineSize]:
    """Reads the size of the quarantine, by source."""
    rows = connection.execute(select(QuarantineSizeRow.source, QuarantineSizeRow.deliveries, QuarantineSizeRow.bytes))
    return {source: QuarantineSize(deliveries, size) for source, deliveries, size in rows}
