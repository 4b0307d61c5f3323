"""Deletion for good, in transactions so short that deliveries don't wait for them.

Every table that keeps anything of a message, a delivery or a person has an entry in ``TABLES``.
"""

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Select, delete, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from webhook_service.domain.errors import StorageBusy
from webhook_service.storage.database import Database
from webhook_service.storage.models import ActivityRow, MessageRow, QuarantineRow, ReceiptRow
from webhook_service.storage.writing import Transaction

TURN = 0.02  # seconds to hold the turn to write: a fifth of what deliveries may wait, since some batches take longer
FIRST_BATCH = 20  # rows
LARGEST_BATCH = 2_000
IDS_OF_A_PART = 100  # ids in one statement: reading a longer list would take as long as deleting that many rows

AnyRow = MessageRow | ReceiptRow | QuarantineRow | ActivityRow


@dataclass(slots=True)
class Doomed:
    """Rows of a table that are to be deleted; ``ids`` selects their ids in the order of deletion.

    Where that is the order of ``age``, there are none before ``reached``.
    """

    row: type[AnyRow]
    ids: Select[int]
    age: InstrumentedAttribute[datetime] | None
    reached: datetime | None = None

    def count(self, connection: Connection) -> int:
        """Counts the rows, and notes where the first of the old ones is."""
        rows = self.ids.order_by(None)
        if self.age is None:
            return connection.scalars(select(func.count()).select_from(rows.subquery())).one()
        ages = rows.with_only_columns(self.age.label("age")).subquery()
        counted = connection.execute(select(func.count(), func.min(ages.c.age))).one()
        self.reached = counted[1]
        return int(counted[0])

    def delete(self, transaction: Transaction, limit: int) -> int:
        """Deletes at most ``limit`` of the rows and returns how many it deleted."""
        some = self.ids.limit(limit)
        if self.age is None:
            return transaction.execute(delete(self.row).where(self.row.id.in_(some))).rowcount
        if self.reached is not None:  # those before it stay, and may be many
            some = some.where(self.age >= self.reached)
        deleted = delete(self.row).where(self.row.id.in_(some)).returning(self.age)
        ages = transaction.scalars(deleted).all()
        self.reached = max(ages, default=self.reached)
        return len(ages)


@dataclass(frozen=True, slots=True)
class Kept:
    """A table, the column with the age of a row, and the function that finds the rows about a phone number.

    ``find_about`` returns conditions, each for a part of those rows. It is None for a table with no rows about anybody.
    """

    row: type[AnyRow]
    moment: InstrumentedAttribute[datetime]
    find_about: Callable[[Connection, str], list[ColumnElement[bool]]] | None = None

    def before(self, moment: datetime, had: int | None = None) -> list[Doomed]:
        """Selects the rows from before a moment, oldest first; of messages, only those with an id up to ``had``."""
        old = select(self.row.id).where(self.moment < moment).order_by(self.moment)
        if had is not None and self.row is MessageRow:
            old = old.where(MessageRow.id <= had)
        return [Doomed(self.row, old, self.moment)]

    def about(self, snapshot: Connection, number: str) -> list[Doomed]:
        """Selects the rows about a phone number."""
        parts = self.find_about(snapshot, number) if self.find_about else []
        return [Doomed(self.row, select(self.row.id).where(condition), None) for condition in parts]


def count_old(connection: Connection, moment: datetime, after: int) -> int:
    """Counts the messages from before a moment that have an id above ``after``."""
    old = select(func.count()).select_from(MessageRow).where(MessageRow.ts < moment, MessageRow.id > after)
    return connection.scalars(old).one()


def _messages_about(_snapshot: Connection, number: str) -> list[ColumnElement[bool]]:
    return [or_(MessageRow.sender == number, MessageRow.recipient == number)]


def _receipts_about(_snapshot: Connection, number: str) -> list[ColumnElement[bool]]:
    return [ReceiptRow.recipient == number]


def _quarantined_about(snapshot: Connection, number: str) -> list[ColumnElement[bool]]:
    """Searches every body for the number, in Python, since neither database matches a pattern against bytes."""
    # Providers write a number with a plus, with an encoded plus or without. A longer number is another person's.
    digits = re.escape(number.removeprefix("+").encode())
    mention = re.compile(rb"(?<![0-9])" + digits + rb"(?![0-9])")
    bodies = select(QuarantineRow.id, QuarantineRow.raw).execution_options(yield_per=10)  # each may be megabytes
    ids = [entry_id for entry_id, raw in snapshot.execute(bodies) if mention.search(raw)]
    return [QuarantineRow.id.in_(ids[at : at + IDS_OF_A_PART]) for at in range(0, len(ids), IDS_OF_A_PART)]


TABLES: Mapping[str, Kept] = {
    "messages": Kept(MessageRow, MessageRow.ts, _messages_about),
    "receipts": Kept(ReceiptRow, ReceiptRow.ts, _receipts_about),
    "quarantined deliveries": Kept(QuarantineRow, QuarantineRow.last_at, _quarantined_about),
    "hours of activity": Kept(ActivityRow, ActivityRow.hour),
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
        held = time.monotonic() - began
        yield done
        if done < wanted:
            return
        most -= done
        size = next_size(size, held)
        time.sleep(held)


def next_size(size: int, held: float) -> int:
    """Returns how many rows fit into ``TURN`` when ``size`` took ``held`` seconds; at most twice as many as before."""
    return max(1, min(LARGEST_BATCH, size * 2, int(size * TURN / max(held, 1e-6))))
