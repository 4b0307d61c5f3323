"""Sources: what they have delivered recently, and which of their secrets are in use."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects import postgresql, sqlite

from webhook_service.domain.sources import SourceActivity
from webhook_service.storage.models import MessageRow, QuarantineRow, SecretUseRow
from webhook_service.storage.writing import Transaction

SecretUses = Mapping[tuple[str, str], datetime]
"""The times at which secrets last signed a delivery, by the name of the source and the label of the secret."""


def write_secret_uses(transaction: Transaction, uses: SecretUses) -> None:
    """Stores when secrets last signed; a later time that is stored already stays."""
    insert = (postgresql if transaction.dialect.name == "postgresql" else sqlite).insert(SecretUseRow)
    is_later = insert.excluded.last_at > SecretUseRow.last_at
    key = [SecretUseRow.source, SecretUseRow.label]
    upsert = insert.on_conflict_do_update(index_elements=key, set_={"last_at": insert.excluded.last_at}, where=is_later)
    rows = [{"source": source, "label": label, "last_at": at} for (source, label), at in sorted(uses.items())]
    transaction.execute(upsert, rows)


def read_secret_uses(connection: Connection) -> SecretUses:
    """Reads when each secret last signed, as far as that is stored."""
    uses = connection.execute(select(SecretUseRow.source, SecretUseRow.label, SecretUseRow.last_at))
    return {(source, label): at for source, label, at in uses}


def read_activity(connection: Connection, sources: Iterable[str], since: datetime) -> dict[str, SourceActivity]:
    """Reads when each source last delivered, and how many messages and quarantined deliveries it has since a moment."""
    return {source: _read_activity(connection, source, since) for source in sources}


def _read_activity(connection: Connection, source: str, since: datetime) -> SourceActivity:
    of_source = MessageRow.source == source
    latest = (
        select(MessageRow.received_at)
        .where(of_source)
        .order_by(MessageRow.ts.desc(), MessageRow.message_id.desc())
        .limit(1)
    )
    created = select(func.count()).select_from(MessageRow).where(of_source, MessageRow.ts >= since)
    kept = select(func.count(), func.max(QuarantineRow.last_at)).where(
        QuarantineRow.source == source, QuarantineRow.last_at >= since
    )
    quarantined, last_kept = connection.execute(kept).one()
    times = [at for at in (connection.scalar(latest), last_kept) if at is not None]
    counts = {"created": connection.scalars(created).one(), "quarantined": quarantined}
    return SourceActivity(max(times, default=None), counts)
