"""The front door of the write path, and the only place that commits."""

from collections.abc import Sequence

from webhook_service.domain import Message, Outcome
from webhook_service.storage.database import Database
from webhook_service.storage.messages import insert_messages


class Inbox:
    """Takes messages in, each exactly once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def accept(self, messages: Sequence[Message]) -> list[Outcome]:
        """Stores the messages, all or none, and returns when they are on disk.

        The outcomes are in the order of the messages. Raises StorageUnavailable when nothing was stored.
        """
        with self._database.transaction() as transaction:
            return insert_messages(transaction, messages)
