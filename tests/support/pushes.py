"""Messages to push, receivers that refuse some of them, and what a database says came of it."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import func, select, update

from tests.support.messages import message
from tests.support.receivers import Answer, accept, answer
from tests.support.stored import accept as take_in
from webhook_service.domain.consumers import ConsumerKind, DeadLetterFilter
from webhook_service.domain.deliveries import Contents
from webhook_service.domain.destinations import DestinationHealth
from webhook_service.outlet.consumers import Consumers
from webhook_service.storage.clock import read_now
from webhook_service.storage.consumer_models import StretchRow
from webhook_service.storage.database import Database
from webhook_service.storage.models import MessageRow
from webhook_service.storage.queries.dead_letters import list_dead_letters
from webhook_service.storage.queries.destinations import read_all_health

BROKEN = answer(500, b"broken")


def store_of(database: Database, sender: str, *message_ids: str) -> None:
    """Stores messages of a sender."""
    take_in(database, Contents(messages=tuple(message(each, sender=sender) for each in message_ids)))


def feed_ids(database: Database, message_ids: Collection[str]) -> dict[str, int]:
    """Reads the ids of messages in the feed."""
    with database.primary_snapshot() as snapshot:
        found = select(MessageRow.message_id, MessageRow.id).where(MessageRow.message_id.in_(message_ids))
        return {row[0]: row[1] for row in snapshot.execute(found)}


def count(database: Database, row: Any) -> int:
    """Counts the rows of a table."""
    with database.primary_snapshot() as snapshot:
        return snapshot.scalars(select(func.count()).select_from(row)).one()


def health(database: Database, name: str = "shop") -> DestinationHealth:
    """Reads the status of a destination."""
    with database.primary_snapshot() as snapshot:
        return read_all_health(snapshot).get(name, DestinationHealth())


def place(database: Database, name: str = "shop") -> int:
    """Where in the feed a destination is."""
    return Consumers(database, ConsumerKind.DESTINATION).read(name).place


def dead(database: Database) -> list[Any]:
    """The dead letters."""
    with database.primary_snapshot() as snapshot:
        return list(list_dead_letters(snapshot, DeadLetterFilter(), after=0, limit=100).items)


def expire_leases(database: Database) -> None:
    """Lets the lease of every stretch expire now, as it does some time after a forwarder has died."""
    with database.transaction() as transaction:
        transaction.execute(update(StretchRow).values(free_at=read_now(transaction)))


def refuse(*message_ids: str, with_: Answer = BROKEN) -> Answer:
    """Takes all messages but these."""
    return lambda received, connection: (with_ if received.headers["webhook-id"] in message_ids else accept)(
        received, connection
    )
