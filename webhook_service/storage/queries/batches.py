"""Reads many messages a batch at a time, which takes the memory of one batch, however many are stored.

Each batch is read in a snapshot of its own, since a snapshot that stays open for long keeps the database from cleaning
up. The order is that of the pages. Every message that was stored before the first batch was read comes once; so do
those that are stored meanwhile, if they belong after the place that was reached.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from webhook_service.domain.messages import MessageFilter, MessageQuery, Position, StoredMessage
from webhook_service.storage.database import Database
from webhook_service.storage.queries.pages import list_messages

BATCH = 1_000  # messages in a batch


def begin_batches(database: Database, wanted: MessageFilter, after: Position | None) -> Iterator[list[StoredMessage]]:
    """Reads as ``read_batches`` does, but the first batch at once, so that StorageUnavailable is raised right here."""
    batches = read_batches(database, wanted, after)
    first = next(batches, None)
    return chain([first], batches) if first else iter(())


def read_batches(database: Database, wanted: MessageFilter, after: Position | None) -> Iterator[list[StoredMessage]]:
    """Reads all messages that pass the filter and come after a place, oldest first, in batches that are never empty.

    Test messages are left out.
    """
    query = MessageQuery(replace(wanted, for_programs=True), BATCH, after=after)
    while True:
        with database.snapshot() as snapshot:
            batch = list_messages(snapshot, query)
        if not batch:
            return
        yield batch
        query = replace(query, after=batch[-1].position)
