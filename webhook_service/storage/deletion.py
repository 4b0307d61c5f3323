"""Rows deleted for good, in transactions so short that deliveries don't wait for them.

A table that keeps anything of a message, a delivery or a person has its entry in ``TABLES``.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Select, delete, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from webhook_service.domain import StorageBusy
from webhook_service.storage.database import Database, Transaction
from webhook_service.storage.models import MessageRow, QuarantineRow, ReceiptRow

TURN = 0.02  # seconds to hold the turn to write: a fifth of what a delivery may be made to wait, as some take longer
FIRST_BATCH = 20  # rows
LARGEST_BATCH = 2_000

AnyRow = MessageRow | ReceiptRow | QuarantineRow


@dataclass(frozen=True, slots=True)
class Doomed:
    """Rows of a table that are to be deleted; ``ids`` selects theirs, those first that go first."""

    row: type[AnyRow]
    ids: Select[int]

    def count(self, connection: Connection) -> int:
        """Counts them."""
        return connection.scalars(select(func.count()).select_from(self.ids.order_by(None).subquery())).one()

    def delete(self, transaction: Transaction, limit: int) -> int:
        """Deletes at most ``limit`` of them and returns how many it deleted."""
        some = self.ids.limit(limit)
        return transaction.execute(delete(self.row).where(self.row.id.in_(some))).rowcount


@dataclass(frozen=True, slots=True)
class Kept:
    """A table, the column by which its rows are old, and how those about a phone number are found.

    ``find_about`` gives conditions of being among them, each for a part of them.
    """

    row: type[AnyRow]
    moment: InstrumentedAttribute[datetime]
    find_about: Callable[[Connection, str], list[ColumnElement[bool]]]

    def before(self, moment: datetime) -> list[Doomed]:
        """The rows of before a moment, the oldest first."""
        return [Doomed(self.row, select(self.row.id).where(self.moment < moment).order_by(self.moment))]

    def about(self, snapshot: Connection, number: str) -> list[Doomed]:
        """The rows about a phone number."""
        parts = self.find_about(snapshot, number)
        return [Doomed(self.row, select(self.row.id).where(condition)) for condition in parts]


def _messages_about(_snapshot: Connection, number: str) -> list[ColumnElement[bool]]:
    return [or_(MessageRow.sender == number, MessageRow.recipient == number)]


def _receipts_about(_snapshot: Connection, number: str) -> list[ColumnElement[bool]]:
    return [ReceiptRow.recipient == number]


def _quarantined_about(snapshot: Connection, number: str) -> list[ColumnElement[bool]]:
    """Looks for the number in every body here, where nobody waits for it: no database searches bytes for a pattern."""
    # Providers write a number with a plus, an encoded plus or none, and a longer number is someone else's.
    digits = re.escape(number.removeprefix("+").encode())
    mention = re.compile(rb"(?<![0-9])" + digits + rb"(?![0-9])")
    bodies = select(QuarantineRow.id, QuarantineRow.raw).execution_options(yield_per=10)  # each may be megabytes
    ids = [entry_id for entry_id, raw in snapshot.execute(bodies) if mention.search(raw)]
    return [QuarantineRow.id.in_(ids[at : at + LARGEST_BATCH]) for at in range(0, len(ids), LARGEST_BATCH)]


TABLES: Mapping[str, Kept] = {
    "messages": Kept(MessageRow, MessageRow.ts, _messages_about),
    "receipts": Kept(ReceiptRow, ReceiptRow.ts, _receipts_about),
    "quarantined deliveries": Kept(QuarantineRow, QuarantineRow.last_at, _quarantined_about),
}


def in_batches(database: Database, work: Callable[[Transaction, int], int]) -> Iterator[int]:
    """Repeats ``work``, which does at most so many rows as it is told and returns how many it did, until all are done.

    Each time in a transaction of its own, of a size that follows from how long the last one took; yields how many rows
    each did. Between two it stays away for as long as it held the turn, so that others have half of the time.
    """
    size = FIRST_BATCH
    while True:
        try:
            with database.transaction() as transaction:
                began = time.monotonic()
                done = work(transaction, size)
        except StorageBusy:
            continue  # another program writes; each try has waited for it already
        held = time.monotonic() - began
        yield done
        if done < size:
            return
        size = next_size(size, held)
        time.sleep(held)


def next_size(size: int, held: float) -> int:
    """How many rows may be done in ``TURN`` if ``size`` took ``held`` seconds; it grows no faster than twofold."""
    return max(1, min(LARGEST_BATCH, size * 2, int(size * TURN / max(held, 1e-6))))
