"""One transaction for a round of deliveries: the only place that writes what comes in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from math import inf
from time import monotonic
from typing import TypeVar

from webhook_service.domain.deliveries import Contents
from webhook_service.domain.errors import ConnectionLost, RowRefused, StorageBusy
from webhook_service.domain.quarantine import Quarantined
from webhook_service.domain.results import Outcome
from webhook_service.domain.verdicts import Outcomes
from webhook_service.storage.database import Database
from webhook_service.storage.queries.insert import Row
from webhook_service.storage.queries.messages import (
    MESSAGES_IN_A_STATEMENT,
    encode_message,
    insert_messages,
    mark_as_test,
    rename_message,
)
from webhook_service.storage.queries.quarantine import add_quarantined, delete_quarantined
from webhook_service.storage.queries.receipts import encode_receipt, insert_receipts
from webhook_service.storage.queries.replication import await_replicas
from webhook_service.storage.writing import Executor, Transaction

# Seconds that a commit waits for other writers. A delivery waits for at most two commits, its own and the one that is
# under way when it arrives, and is answered within 5 seconds.
PATIENCE = 2.0


class Amplified(Exception):
    """Storing the items of a delivery would take far more room than the delivery itself."""


@dataclass(slots=True)
class _Room:
    """The room that is left for the rows of a delivery, in characters."""

    left: float

    def take(self, row: Row) -> Row:
        """Takes the room that a row needs, and returns the row; Amplified when it is too large."""
        self.left -= sum([len(value) for value in row if isinstance(value, str)])
        if self.left < 0:
            raise Amplified
        return row


@dataclass(frozen=True, slots=True)
class DeliveryRows:
    """The rows that one delivery writes, and its place in quarantine.

    ``quarantined`` is the delivery itself, if it is to be kept. ``leaves_quarantine`` is the id of a kept delivery that
    is to be removed unless a message conflicts. ``quarantine_for`` makes the delivery that is kept if messages are in
    conflict, from their IDs; with ``rename`` they are stored under IDs of their own instead. With ``is_test`` the
    messages are marked as test messages.
    """

    messages: list[Row]
    receipts: list[Row]
    quarantined: Quarantined | None = None
    leaves_quarantine: int | None = None
    quarantine_for: Callable[[Sequence[str]], Quarantined] | None = None
    rename: bool = False
    is_test: bool = False

    @classmethod
    def encode(
        cls,
        contents: Contents,
        source: str | None = None,
        *,
        quarantined: Quarantined | None = None,
        leaves_quarantine: int | None = None,
        quarantine_for: Callable[[Sequence[str]], Quarantined] | None = None,
        rename: bool = False,
        is_test: bool = False,
        most_characters: float = inf,
    ) -> "DeliveryRows":
        """Encodes the items of a source's delivery, which needs no transaction.

        Raises Amplified when they have more than ``most_characters``.
        """
        room = _Room(most_characters)
        messages = [room.take(encode_message(message, source)) for message in contents.messages]
        receipts = [room.take(encode_receipt(receipt, source)) for receipt in contents.receipts]
        return cls(messages, receipts, quarantined, leaves_quarantine, quarantine_for, rename, is_test)

    def ids_with(self, outcome: Outcome, outcomes: Outcomes) -> list[str]:
        """Returns the IDs of the messages with one outcome."""
        if outcome not in outcomes.messages:
            return []
        became = zip(self.messages, outcomes.messages, strict=True)
        return [str(row[0]) for row, each in became if each is outcome]

    def has_only_items(self) -> bool:
        """Tells whether there are only messages and receipts to insert, and nothing else to do."""
        return self.quarantined is None and self.leaves_quarantine is None and not self.is_test


WriteResult = Outcomes | RowRefused
"""The result for one delivery: each item's outcome, or the database's refusal, after which none of it is stored."""

Stored = TypeVar("Stored")


def commit(database: Database, batch: Sequence[DeliveryRows], patience: float = PATIENCE) -> list[WriteResult]:
    """Stores a batch in one transaction, and returns the result of each delivery once it is on disk.

    Waits for other writers for at most ``patience`` seconds.

    Raises StorageUnavailable when it is not certain that all of it is stored.
    """
    deadline = monotonic() + patience
    try:
        if not all(rows.has_only_items() for rows in batch):
            return _retried(deadline, lambda: _store_in_transaction(database, batch, deadline))
        outcomes = _retried(deadline, lambda: _store_items(database, batch, deadline))
        if not any(Outcome.CONFLICT in each.messages for each in outcomes):
            return [*outcomes]
        return _retried(deadline, lambda: _apply_outcomes_in_transaction(database, batch, outcomes, deadline))
    except RowRefused:
        return _retried(deadline, lambda: _store_apart(database, batch, deadline))


def _retried(deadline: float, attempt: Callable[[], Stored]) -> Stored:
    """Attempts to store something until other writers make way, and once more if the connection breaks."""
    is_lost = False
    while True:
        try:
            return attempt()
        except StorageBusy:
            # Each attempt gives the turn back, so that other processes can write while this one waits.
            if monotonic() > deadline:
                raise
        except ConnectionLost:
            # The database may have been restarted since the connection was made. If the lost transaction did store
            # something, that will be a duplicate now.
            if is_lost or monotonic() > deadline:
                raise
            is_lost = True


def _store_items(database: Database, batch: Sequence[DeliveryRows], deadline: float) -> list[Outcomes]:
    with (
        database.turn_to_write(_left(deadline)) as turn,
        turn.driver_connection(in_one_transaction=not _fit_in_one_statement(batch)) as executor,
    ):
        return _insert(executor, batch)


def _apply_outcomes_in_transaction(
    database: Database, batch: Sequence[DeliveryRows], outcomes: Sequence[Outcomes], deadline: float
) -> list[WriteResult]:
    with database.transaction(_left(deadline)) as transaction:
        return _apply_outcomes(database, transaction, batch, outcomes)


def _store_in_transaction(database: Database, batch: Sequence[DeliveryRows], deadline: float) -> list[WriteResult]:
    with database.transaction(_left(deadline)) as transaction:
        return _store(database, transaction, batch)


def _store_apart(database: Database, batch: Sequence[DeliveryRows], deadline: float) -> list[WriteResult]:
    """Stores each delivery in a savepoint of its own, so that a refused row undoes no other delivery."""
    with database.transaction(_left(deadline)) as transaction:
        return [_store_alone(database, transaction, rows) for rows in batch]


def _store_alone(database: Database, transaction: Transaction, rows: DeliveryRows) -> WriteResult:
    try:
        with database.savepoint(transaction):
            return _store(database, transaction, [rows])[0]
    except RowRefused as refused:
        return refused


def _left(deadline: float) -> float:
    return max(0.0, deadline - monotonic())


def _fit_in_one_statement(batch: Sequence[DeliveryRows]) -> bool:
    number = sum(len(rows.messages) for rows in batch)
    return number <= MESSAGES_IN_A_STATEMENT and not any(rows.receipts for rows in batch)


def _store(database: Database, transaction: Transaction, batch: Sequence[DeliveryRows]) -> list[WriteResult]:
    return _apply_outcomes(database, transaction, batch, _insert(transaction, batch))


def _insert(executor: Executor, batch: Sequence[DeliveryRows]) -> list[Outcomes]:
    messages = iter(insert_messages(executor, list(chain.from_iterable(rows.messages for rows in batch))))
    receipts = iter(insert_receipts(executor, list(chain.from_iterable(rows.receipts for rows in batch))))
    outcomes = [
        Outcomes(tuple(islice(messages, len(rows.messages))), tuple(islice(receipts, len(rows.receipts))))
        for rows in batch
    ]
    _confirm(executor, outcomes)
    return outcomes


def _confirm(executor: Executor, outcomes: Sequence[Outcomes]) -> None:
    """Makes a commit that stores nothing new wait for the replicas, as one that stores something does anyway."""
    if not any(Outcome.CREATED in each.all() for each in outcomes):
        await_replicas(executor)


def _apply_outcomes(
    database: Database, transaction: Transaction, batch: Sequence[DeliveryRows], outcomes: Sequence[Outcomes]
) -> list[WriteResult]:
    """Does for each delivery what follows from its outcomes: marking, renaming, keeping, releasing."""
    most_bytes = database.quarantine_max_bytes
    return [
        _apply_outcomes_of_one(transaction, rows, became, most_bytes)
        for rows, became in zip(batch, outcomes, strict=True)
    ]


def _apply_outcomes_of_one(
    transaction: Transaction, rows: DeliveryRows, outcomes: Outcomes, most_bytes: int
) -> Outcomes:
    if rows.is_test:
        mark_as_test(transaction, rows.ids_with(Outcome.CREATED, outcomes))
    if rows.rename:
        outcomes = _store_renamed(transaction, rows, outcomes)
    conflicting = rows.ids_with(Outcome.CONFLICT, outcomes)
    kept = rows.quarantine_for(conflicting) if conflicting and rows.quarantine_for else rows.quarantined
    if kept is not None and not add_quarantined(transaction, kept, most_bytes):
        return replace(outcomes, quarantine_is_full=True)
    if rows.leaves_quarantine is not None and not conflicting:
        delete_quarantined(transaction, rows.leaves_quarantine)
    return outcomes


def _store_renamed(transaction: Transaction, rows: DeliveryRows, outcomes: Outcomes) -> Outcomes:
    """Stores the messages in conflict under IDs of their own."""
    became = list(outcomes.messages)
    places = [place for place, outcome in enumerate(became) if outcome is Outcome.CONFLICT]
    renamed = insert_messages(transaction, [rename_message(rows.messages[place]) for place in places])
    for place, outcome in zip(places, renamed, strict=True):
        became[place] = outcome
    return replace(outcomes, messages=tuple(became))
