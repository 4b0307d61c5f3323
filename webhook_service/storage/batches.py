"""Much work on the database, in transactions so short that deliveries don't wait for them."""

import time
from collections.abc import Callable, Iterator

from webhook_service.domain import StorageBusy
from webhook_service.storage.database import Database
from webhook_service.storage.writing import Transaction

TURN = 0.02  # seconds to hold the turn to write: a fifth of what a delivery may be made to wait, as some take longer
FIRST_BATCH = 20  # rows
LARGEST_BATCH = 2_000


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
