"""The table of secrets in use."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from webhook_service.storage.models import SecretUseRow
from webhook_service.storage.writing import Transaction

SecretUses = Mapping[tuple[str, str], datetime]
"""The times at which secrets last signed a delivery, by the name of the source and the label of the secret."""


def write_secret_uses(transaction: Transaction, uses: SecretUses) -> None:
    """Stores when secrets last signed; of each, the latest time stays."""
    insert = (postgresql if transaction.dialect.name == "postgresql" else sqlite).insert(SecretUseRow)
    is_later = insert.excluded.last_at > SecretUseRow.last_at
    key = [SecretUseRow.source, SecretUseRow.label]
    upsert = insert.on_conflict_do_update(index_elements=key, set_={"last_at": insert.excluded.last_at}, where=is_later)
    rows = [{"source": source, "label": label, "last_at": at} for (source, label), at in sorted(uses.items())]
    transaction.execute(upsert, rows)


def read_secret_uses(connection: Connection) -> SecretUses:
    """Reads when each secret last signed, as far as that was stored."""
    uses = connection.execute(select(SecretUseRow.source, SecretUseRow.label, SecretUseRow.last_at))
    return {(source, label): at for source, label, at in uses}
