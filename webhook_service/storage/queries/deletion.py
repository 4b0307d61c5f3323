"""Deletion for good, in transactions so short that deliveries don't wait for them.

Every table that keeps anything of a message, a delivery or a person has an entry in ``TABLES``.
"""

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Select, delete, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from webhook_service.domain.errors import StorageBusy
from webhook_service.storage.database import Database
from webhook_service.storage.models import ActivityRow, MessageRow, QuarantineRow, ReceiptRow
from webhook_service.storage.writing import Transaction

LONGEST_HOLD = (
    0.02  # seconds to hold the turn to write: a fifth of what deliveries may wait, since some batches take longer
)
FIRST_BATCH = 20  # rows
LARGEST_BATCH = 2_000
IDS_OF_A_PART = 100  # ids in one statement: reading a longer list would take as long as deleting that many rows

AnyRow = MessageRow | ReceiptRow | QuarantineRow | ActivityRow


@dataclass(slots=True)
class RowsToDelete:
    """Rows of a table that are to be deleted; ``ids`` selects their ids in the order of deletion.

    Where that is the order of ``age``, none is older than ``oldest_left``, once that is known.
    """

    row: type[AnyRow]
    ids: Select[int]
    age: InstrumentedAttribute[datetime] | None
    oldest_left: datetime | None = None

    def count_and_find_oldest(self, connection: Connection) -> int:
        """Counts the rows, and notes how old the oldest of them is, from where deleting begins."""
        rows = self.ids.order_by(None)
        if self.age is None:
            return connection.scalars(select(func.count()).select_from(rows.subquery())).one()
        ages = rows.with_only_columns(self.age.label("age")).subquery()
        counted = connection.execute(select(func.count(), func.min(ages.c.age))).one()
        self.oldest_left = counted[1]
        return int(counted[0])

    def delete(self, transaction: Transaction, limit: int) -> int:
        """Deletes at most ``limit`` of the rows and returns how many it deleted."""
        some = self.ids.limit(limit)
        if self.age is None:
            return transaction.execute(delete(self.row).where(self.row.id.in_(some))).rowcount
        if self.oldest_left is not None:  # those before it stay, and may be many
            some = some.where(self.age >= self.oldest_left)
        deleted = delete(self.row).where(self.row.id.in_(some)).returning(self.age)
        ages = transaction.scalars(deleted).all()
        self.oldest_left = max(ages, default=self.oldest_left)
        return len(ages)


@dataclass(frozen=True, slots=True)
class DeletableTable:
    """A table, the column with the age of a row, and the function that finds the rows about a phone number.

    ``find_about`` returns conditions, each for a part of those rows. It is None for a table with no rows about anybody.
    """

    row: type[AnyRow]
    moment: InstrumentedAttribute[datetime]
    find_about: Callable[[Connection, str], list[ColumnElement[bool]]] | None = None

    def older_than(self, moment: datetime, done_up_to: int | None = None) -> list[RowsToDelete]:
        """Selects the rows from before a moment, oldest first; of messages, those with an id up to ``done_up_to``."""
        old = select(self.row.id).where(self.moment < moment).order_by(self.moment)
        if done_up_to is not None and self.row is MessageRow:
            old = old.where(MessageRow.id <= done_up_to)
        return [RowsToDelete(self.row, old, self.moment)]

    def about_number(self, snapshot: Connection, number: str) -> list[RowsToDelete]:
        """Selects the rows about a phone number."""
        parts = self.find_about(snapshot, number) if self.find_about else []
        return [RowsToDelete(self.row, select(self.row.id).where(condition), None) for condition in parts]


def count_old(connection: Connection, moment: datetime, after: int) -> int:
    """Counts the messages from before a moment that have an id above ``after``."""
    old = select(func.count()).select_from(MessageRow).where(MessageRow.ts < moment, MessageRow.id > after)
    return connection.scalars(old).one()


def _messages_about(_snapshot: Connection, number: str) -> list[ColumnElement[bool]]:
    return [or_(MessageRow.sender == number, MessageRow.recipient == number)]


def _receipts_about(snapshot: Connection, number: str) -> list[ColumnElement[bool]]:
    """Searches every receipt: an index by recipient was a third of all pages that a commit of receipts wrote."""
    ids = snapshot.scalars(select(ReceiptRow.id).where(ReceiptRow.recipient == number)).all()
    return _in_parts(ReceiptRow.id, ids)


def _quarantined_about(snapshot: Connection, number: str) -> list[ColumnElement[bool]]:
    """Searches every body for the number, in Python, since neither database matches a pattern against bytes."""
    # Providers write a number with a plus, with an encoded plus or without. A longer number is another person's.
    digits = re.escape(number.removeprefix("+").encode())
    mention = re.compile(rb"(?<![0-9])" + digits + rb"(?![0-9])")
    bodies = select(QuarantineRow.id, QuarantineRow.raw).execution_options(yield_per=10)  # each may be megabytes
    ids = [entry_id for entry_id, raw in snapshot.execute(bodies) if mention.search(raw)]
    return _in_parts(QuarantineRow.id, ids)


def _in_parts(row_id: InstrumentedAttribute[int], ids: Sequence[int]) -> list[ColumnElement[bool]]:
    return [row_id.in_(ids[at : at + IDS_OF_A_PART]) for at in range(0, len(ids), IDS_OF_A_PART)]


TABLES: Mapping[str, DeletableTable] = {
    "messages": DeletableTable(MessageRow, MessageRow.ts, _messages_about),
    "receipts": DeletableTable(ReceiptRow, ReceiptRow.ts, _receipts_about),
    "quarantined deliveries": DeletableTable(QuarantineRow, QuarantineRow.last_at, _quarantined_about),
    "hours of activity": DeletableTable(ActivityRow, ActivityRow.hour),
}


def in_batches(database: Database, work: Callable[[Transaction, int], int], most: int = sys.maxsize) -> Iterator[int]:
    """Repeats ``work``, each time in a transaction of its own, until ``most`` rows are done or none is left.

    Yields the rows done each time. ``work`` is given the most rows that it may do, and returns how many it did. That
    limit follows from how long the last transaction took. After each one there is a pause as long as the turn to write
    was held, so that others have half of the time.
    """
    size = FIRST_BATCH
    while most:
        wanted = min(size, most)
        try:
            with database.transaction() as transaction:
                began = time.monotonic()
                done = work(transaction, wanted)
        except StorageBusy:
            continue  # another program is writing; the attempt itself has waited already
        seconds = time.monotonic() - began
        yield done
        if done < wanted:
            return
        most -= done
        size = next_size(size, seconds)
        time.sleep(seconds)


def next_size(size: int, seconds: float) -> int:
    """Returns how many rows fit into ``LONGEST_HOLD`` if ``size`` took ``seconds``; at most twice as many as before."""
    return max(1, min(LARGEST_BATCH, size * 2, int(size * LONGEST_HOLD / max(seconds, 1e-6))))
