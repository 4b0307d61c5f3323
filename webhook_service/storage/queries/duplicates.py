"""The table of duplicates: how often messages came again."""

from collections.abc import Mapping

from sqlalchemy import Connection, case, select
from sqlalchemy.dialects import postgresql, sqlite

from webhook_service.domain.messages import Duplicates
from webhook_service.storage.models import DuplicatesRow, MessageRow
from webhook_service.storage.writing import Transaction


def add_duplicates(transaction: Transaction, counted: Mapping[str, Duplicates]) -> None:
    """Adds counts, by message ID, to those in the table; leaves out messages that were deleted meanwhile."""
    found = select(MessageRow.id, MessageRow.message_id).where(MessageRow.message_id.in_(counted))
    rows = [
        {"feed_id": feed_id, "count": counted[message_id].count, "last_at": counted[message_id].last_at}
        for feed_id, message_id in transaction.execute(found)
    ]
    if not rows:
        return
    insert = (postgresql if transaction.dialect.name == "postgresql" else sqlite).insert(DuplicatesRow)
    new = insert.excluded
    upsert = insert.on_conflict_do_update(
        index_elements=[DuplicatesRow.feed_id],
        set_={
            "count": DuplicatesRow.count + new.count,
            "last_at": case((new.last_at > DuplicatesRow.last_at, new.last_at), else_=DuplicatesRow.last_at),
        },
    )
    transaction.execute(upsert, rows)


def read_duplicates(connection: Connection, feed_id: int) -> Duplicates:
    """Reads how often the message with this id came again."""
    found = select(DuplicatesRow.count, DuplicatesRow.last_at).where(DuplicatesRow.feed_id == feed_id)
    row = connection.execute(found).one_or_none()
    return Duplicates() if row is None else Duplicates(*row)
