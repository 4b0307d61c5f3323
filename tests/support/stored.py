"""Writes and reads the content of a database directly, without the servers that use it."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import delete, select, text

from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.deliveries import Contents
from webhook_service.domain.errors import RowRefused
from webhook_service.domain.quarantine import Quarantined
from webhook_service.domain.verdicts import Outcomes
from webhook_service.intake.commit import DeliveryRows, commit
from webhook_service.storage.consumer_models import ConsumerRow
from webhook_service.storage.database import Database
from webhook_service.storage.models import MessageRow, QuarantineRow, ReceiptRow


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """Gives the database, with connections of its own."""
    database = Database(parse_url(url), pool_size=2)
    try:
        yield database
    finally:
        database.close()


def accept(database: Database, contents: Contents, *, quarantined: Quarantined | None = None) -> Outcomes:
    """Stores the contents of a delivery, as a round with one delivery does."""
    (committed,) = commit(database, [DeliveryRows.encode(contents, quarantined=quarantined)])
    assert not isinstance(committed, RowRefused)
    return committed


def stored_ids(url: str) -> list[str]:
    """Returns the IDs of all messages, in stored order."""
    with opened(url) as database, database.snapshot() as snapshot:
        return list(snapshot.scalars(select(MessageRow.message_id).order_by(MessageRow.id)))


def stored_ids_and_receipt_ids(url: str) -> tuple[list[str], list[str]]:
    """Returns the IDs of all messages and the message IDs of all receipts, as they stand at one moment."""
    with opened(url) as database, database.snapshot() as snapshot:
        messages = snapshot.scalars(select(MessageRow.message_id)).all()
        return list(messages), list(snapshot.scalars(select(ReceiptRow.message_id)))


def is_intact(url: str) -> bool:
    """Tells whether the database finds no fault in its own files; for PostgreSQL it is enough that it answers."""
    with opened(url) as database, database.snapshot() as snapshot:
        if snapshot.dialect.name == "postgresql":
            return True
        return snapshot.scalars(text("PRAGMA integrity_check")).all() == ["ok"]


def empty(url: str) -> None:
    """Deletes every message, receipt, quarantined delivery and consumer."""
    with opened(url) as database, database.transaction() as transaction:
        for table in (ConsumerRow, MessageRow, ReceiptRow, QuarantineRow):
            transaction.execute(delete(table))
