"""The front door of the write path, and the only place that commits."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, islice
from time import monotonic

from webhook_service.domain import (
    ConnectionLost,
    Contents,
    Outcomes,
    PayloadInvalid,
    Quarantined,
    Reason,
    StorageBusy,
    StorageUnavailable,
)
from webhook_service.group_commit import CommitFailed, CommitTimedOut, GroupCommit
from webhook_service.storage.database import Database, RowRefused, Transaction
from webhook_service.storage.insert import Executor, Row
from webhook_service.storage.messages import MESSAGES_IN_A_STATEMENT, encode_message, insert_messages
from webhook_service.storage.quarantine import keep, release
from webhook_service.storage.receipts import encode_receipt, insert_receipts

MAX_BATCH = 1024  # deliveries in one transaction: more than a process has threads
PATIENCE = 4.5  # seconds until a delivery is told that storage is not available
COMMIT_PATIENCE = 2.0  # seconds that a commit waits for others: no delivery waits for more than two commits


@dataclass(frozen=True, slots=True)
class _Entry:
    """What one delivery brings, ready for the database."""

    messages: list[Row]
    receipts: list[Row]
    quarantined: Quarantined | None
    released: int | None

    def holds_only_messages(self) -> bool:
        return not self.receipts and self.quarantined is None and self.released is None


_Entered = Outcomes | RowRefused


class Inbox:
    """Takes deliveries in, each item exactly once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._group: GroupCommit[_Entry, _Entered] = GroupCommit(self._commit, max_batch=MAX_BATCH, patience=PATIENCE)

    def accept(
        self, contents: Contents, *, quarantined: Quarantined | None = None, released: int | None = None
    ) -> Outcomes:
        """Stores all that a delivery holds, or nothing of it, and returns when it is on disk.

        ``quarantined`` is the delivery itself, when not all of it was understood; ``released`` is the id under which it
        was in quarantine, when now it was. Raises StorageUnavailable when it is not known that all is stored, and
        PayloadInvalid when the database refuses an item.
        """
        entry = _Entry(
            [encode_message(message) for message in contents.messages],
            [encode_receipt(receipt) for receipt in contents.receipts],
            quarantined,
            released,
        )
        try:
            entered = self._group.offer(entry)
        except CommitTimedOut:
            raise StorageUnavailable("the database is too slow") from None
        except CommitFailed as failed:
            if isinstance(failed.__cause__, StorageUnavailable):
                raise StorageUnavailable(failed.__cause__.detail) from failed.__cause__.__cause__
            raise
        if isinstance(entered, RowRefused):
            raise PayloadInvalid(Reason.REFUSED_BY_DATABASE, {"body": ["Can't be stored."]}) from entered
        return entered

    def _commit(self, take: Callable[[], list[_Entry]]) -> list[_Entered]:
        deadline = monotonic() + COMMIT_PATIENCE
        while True:
            try:
                return self._try_to_commit(take, deadline)
            except StorageBusy:
                # The turn was given back in between, so that other processes don't wait for this one's patience too.
                if monotonic() > deadline:
                    raise

    def _try_to_commit(self, take: Callable[[], list[_Entry]], deadline: float) -> list[_Entered]:
        try:
            return self._enter_together(take, deadline)
        except ConnectionLost:
            # The database may have been restarted since the connection was made: once more on a new one. What that
            # transaction may have stored after all is a duplicate now.
            return self._enter_together(take, deadline)
        except RowRefused:
            return self._enter_apart(take, deadline)

    def _enter_together(self, take: Callable[[], list[_Entry]], deadline: float) -> list[_Entered]:
        with self._database.turn_to_write(max(0.0, deadline - monotonic())) as turn:
            entries = take()
            if _fit_in_one_statement(entries):
                with turn.statement() as statement:
                    return _enter_messages(statement, entries)
            with turn.transaction() as transaction:
                return _enter(transaction, entries)

    def _enter_apart(self, take: Callable[[], list[_Entry]], deadline: float) -> list[_Entered]:
        with self._database.transaction(max(0.0, deadline - monotonic())) as transaction:
            return [self._enter_alone(transaction, entry) for entry in take()]

    def _enter_alone(self, transaction: Transaction, entry: _Entry) -> _Entered:
        try:
            with self._database.savepoint(transaction):
                return _enter(transaction, [entry])[0]
        except RowRefused as refused:
            return refused


def _fit_in_one_statement(entries: list[_Entry]) -> bool:
    number = sum(len(entry.messages) for entry in entries)
    return number <= MESSAGES_IN_A_STATEMENT and all(entry.holds_only_messages() for entry in entries)


def _enter_messages(executor: Executor, entries: list[_Entry]) -> list[_Entered]:
    messages = list(chain.from_iterable(entry.messages for entry in entries))
    outcomes = iter(insert_messages(executor, messages))
    return [Outcomes(tuple(islice(outcomes, len(entry.messages)))) for entry in entries]


def _enter(transaction: Transaction, entries: list[_Entry]) -> list[_Entered]:
    messages = list(chain.from_iterable(entry.messages for entry in entries))
    receipts = list(chain.from_iterable(entry.receipts for entry in entries))
    of_messages = iter(insert_messages(transaction, messages))
    of_receipts = iter(insert_receipts(transaction, receipts))
    for entry in entries:
        if entry.quarantined is not None:
            keep(transaction, entry.quarantined)
        if entry.released is not None:
            release(transaction, entry.released)
    return [
        Outcomes(
            tuple(islice(of_messages, len(entry.messages))),
            tuple(islice(of_receipts, len(entry.receipts))),
        )
        for entry in entries
    ]
