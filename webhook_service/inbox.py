"""The front door of the write path, and the only place that commits."""

from collections.abc import Callable, Sequence
from itertools import chain, islice

from webhook_service.domain import ConnectionLost, Message, Outcome, PayloadInvalid, Reason, StorageUnavailable
from webhook_service.group_commit import CommitFailed, CommitTimedOut, GroupCommit
from webhook_service.storage.database import Database, RowRefused, Transaction
from webhook_service.storage.insert import Row
from webhook_service.storage.messages import encode_message, insert_messages

MAX_BATCH = 1024  # deliveries in one transaction: more than a process has threads
PATIENCE = 4.5  # seconds until a delivery is told that storage is not available

Entry = list[Row]
Entered = list[Outcome] | RowRefused


class Inbox:
    """Takes messages in, each exactly once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._group: GroupCommit[Entry, Entered] = GroupCommit(self._commit, max_batch=MAX_BATCH, patience=PATIENCE)

    def accept(self, messages: Sequence[Message]) -> list[Outcome]:
        """Stores the messages of a delivery, all or none, and returns when they are on disk.

        The outcomes are in the order of the messages. Raises StorageUnavailable when it is not known that they are
        stored, and PayloadInvalid when the database refuses one.
        """
        try:
            entered = self._group.offer([encode_message(message) for message in messages])
        except CommitTimedOut:
            raise StorageUnavailable("the database is too slow") from None
        except CommitFailed as failed:
            if isinstance(failed.__cause__, StorageUnavailable):
                raise StorageUnavailable(failed.__cause__.detail) from failed.__cause__.__cause__
            raise
        if isinstance(entered, RowRefused):
            raise PayloadInvalid(Reason.REFUSED_BY_DATABASE, {"body": ["Can't be stored."]}) from entered
        return entered

    def _commit(self, take: Callable[[], list[Entry]]) -> list[Entered]:
        try:
            return self._enter_together(take)
        except ConnectionLost:
            # The database may have been restarted since the connection was made: once more on a new one. What that
            # transaction may have stored after all is a duplicate now.
            return self._enter_together(take)
        except RowRefused:
            return self._enter_apart(take)

    def _enter_together(self, take: Callable[[], list[Entry]]) -> list[Entered]:
        with self._database.transaction() as transaction:
            entries = take()
            outcomes = iter(insert_messages(transaction, list(chain.from_iterable(entries))))
            return [list(islice(outcomes, len(entry))) for entry in entries]

    def _enter_apart(self, take: Callable[[], list[Entry]]) -> list[Entered]:
        with self._database.transaction() as transaction:
            return [self._enter_alone(transaction, entry) for entry in take()]

    def _enter_alone(self, transaction: Transaction, entry: Entry) -> Entered:
        try:
            with self._database.savepoint(transaction):
                return insert_messages(transaction, entry)
        except RowRefused as refused:
            return refused
