"""One transaction for a round of deliveries: the only place that writes what comes in."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from time import monotonic

from webhook_service.domain.deliveries import Contents
from webhook_service.domain.errors import ConnectionLost, RowRefused, StorageBusy
from webhook_service.domain.quarantine import Quarantined
from webhook_service.domain.verdicts import Outcomes
from webhook_service.storage.database import Database
from webhook_service.storage.queries.insert import Row
from webhook_service.storage.queries.messages import MESSAGES_IN_A_STATEMENT, encode_message, insert_messages
from webhook_service.storage.queries.quarantine import keep, release
from webhook_service.storage.queries.receipts import encode_receipt, insert_receipts
from webhook_service.storage.writing import Executor, Transaction

# Seconds that a commit waits for other writers. A delivery waits for at most two commits, the one under way when it
# arrives and its own, and is answered within 5 seconds.
PATIENCE = 2.0


@dataclass(frozen=True, slots=True)
class Entry:
    """The rows that one delivery writes, and its place in quarantine.

    ``quarantined`` is the delivery itself when it is to be kept; ``released`` is the id of a kept one to remove.
    """

    messages: list[Row]
    receipts: list[Row]
    quarantined: Quarantined | None = None
    released: int | None = None

    @classmethod
    def of(cls, contents: Contents, *, quarantined: Quarantined | None = None, released: int | None = None) -> "Entry":
        """Encodes the items, which needs no transaction."""
        messages = [encode_message(message) for message in contents.messages]
        receipts = [encode_receipt(receipt) for receipt in contents.receipts]
        return cls(messages, receipts, quarantined, released)

    def has_only_messages(self) -> bool:
        """Tells if one statement can store all of it."""
        return not self.receipts and self.quarantined is None and self.released is None


Committed = Outcomes | RowRefused
"""The result for an entry: the outcome of each item, or the refusal of the database, which then stored none of it."""


def commit(database: Database, entries: Sequence[Entry]) -> list[Committed]:
    """Stores the entries in one transaction, and returns what became of each when it is on disk.

    Raises StorageUnavailable when it is not known that they are stored.
    """
    deadline = monotonic() + PATIENCE
    while True:
        try:
            return _try_to_commit(database, entries, deadline)
        except StorageBusy:
            # Each attempt gives the turn back, so that other processes can write while this one waits.
            if monotonic() > deadline:
                raise


def _try_to_commit(database: Database, entries: Sequence[Entry], deadline: float) -> list[Committed]:
    try:
        return _store_together(database, entries, deadline)
    except ConnectionLost:
        # The database may have been restarted since the connection was made: once more on a new one. What that
        # transaction may have stored after all is a duplicate now.
        if monotonic() > deadline:
            raise
        return _store_together(database, entries, deadline)
    except RowRefused:
        return _store_apart(database, entries, deadline)


def _store_together(database: Database, entries: Sequence[Entry], deadline: float) -> list[Committed]:
    with database.writing(_left(deadline)) as turn:
        if _fit_in_one_statement(entries):
            with turn.statement() as statement:
                return _store_messages(statement, entries)
        with turn.transaction() as transaction:
            return _store(transaction, entries)


def _store_apart(database: Database, entries: Sequence[Entry], deadline: float) -> list[Committed]:
    """Stores each entry in a savepoint of its own, so that a refused row takes no other delivery along."""
    with database.transaction(_left(deadline)) as transaction:
        return [_store_alone(database, transaction, entry) for entry in entries]


def _store_alone(database: Database, transaction: Transaction, entry: Entry) -> Committed:
    try:
        with database.savepoint(transaction):
            return _store(transaction, [entry])[0]
    except RowRefused as refused:
        return refused


def _left(deadline: float) -> float:
    return max(0.0, deadline - monotonic())


def _fit_in_one_statement(entries: Sequence[Entry]) -> bool:
    number = sum(len(entry.messages) for entry in entries)
    return number <= MESSAGES_IN_A_STATEMENT and all(entry.has_only_messages() for entry in entries)


def _store_messages(executor: Executor, entries: Sequence[Entry]) -> list[Committed]:
    outcomes = iter(insert_messages(executor, list(chain.from_iterable(entry.messages for entry in entries))))
    return [Outcomes(tuple(islice(outcomes, len(entry.messages)))) for entry in entries]


def _store(transaction: Transaction, entries: Sequence[Entry]) -> list[Committed]:
    messages = iter(insert_messages(transaction, list(chain.from_iterable(entry.messages for entry in entries))))
    receipts = iter(insert_receipts(transaction, list(chain.from_iterable(entry.receipts for entry in entries))))
    for entry in entries:
        if entry.quarantined is not None:
            keep(transaction, entry.quarantined)
        if entry.released is not None:
            release(transaction, entry.released)
    return [
        Outcomes(tuple(islice(messages, len(entry.messages))), tuple(islice(receipts, len(entry.receipts))))
        for entry in entries
    ]
