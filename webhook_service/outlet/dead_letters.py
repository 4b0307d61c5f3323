"""Dead letters: giving them to their consumers again, and dropping them."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from webhook_service.domain.consumers import Consumer, ConsumerKind, DeadLetterFilter, Stretch
from webhook_service.domain.limits import LEASE_MAX
from webhook_service.storage.clock import read_now
from webhook_service.storage.database import Database
from webhook_service.storage.queries.consumers import find_consumer, list_consumers
from webhook_service.storage.queries.dead_letters import delete_dead_letter, find_dead_letter, pop_dead_letters
from webhook_service.storage.queries.stretches import insert_stretches
from webhook_service.storage.writing import Transaction

AT_ONCE = 1_000  # dead letters in one transaction


class DeadLetters:
    """The dead letters of all consumers and destinations."""

    def __init__(self, database: Database, read_clock: Callable[[Transaction], datetime] = read_now) -> None:
        self._database = database
        self._read_now = read_clock

    def retry(self, dead_letter_id: int) -> bool:
        """Has a dead letter given to its consumer again, with attempts counted anew; False when it is not there."""
        with self._database.primary_snapshot() as snapshot:
            found = find_dead_letter(snapshot, dead_letter_id)
        return found is not None and self._retry(found.kind, found.consumer, only=dead_letter_id) > 0

    def retry_all(self, wanted: DeadLetterFilter) -> int:
        """Has all dead letters that pass a filter given again, and returns how many there are."""
        with self._database.primary_snapshot() as snapshot:
            consumers = [each for each in list_consumers(snapshot, wanted.kind) if wanted.consumer in {None, each.name}]
        return sum(self._retry_all_of(each, wanted.since) for each in consumers)

    def drop(self, dead_letter_id: int) -> bool:
        """Deletes a dead letter for good; False when it is not there."""
        with self._database.transaction_without_turn() as transaction:
            return delete_dead_letter(transaction, dead_letter_id)

    def _retry_all_of(self, consumer: Consumer, since: datetime | None) -> int:
        number = 0
        while retried := self._retry(consumer.kind, consumer.name, since=since):
            number += retried
        return number

    def _retry(self, kind: ConsumerKind, name: str, *, since: datetime | None = None, only: int | None = None) -> int:
        with self._database.transaction_without_turn() as transaction:
            consumer = find_consumer(transaction, kind, name, lock=True)
            if consumer is None:
                return 0
            ids = pop_dead_letters(transaction, consumer, since=since, most=AT_ONCE, only=only)
            now = self._read_now(transaction)
            again = [Stretch.to_give_again(after, last, now) for after, last in runs(sorted(ids))]
            insert_stretches(transaction, consumer, again)
        return len(ids)


def runs(ids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yields stretches that cover exactly these ids, each as the id before its first one and its last id."""
    first = last = None
    for each in ids:
        if first is not None and last is not None and each == last + 1 and each - first < LEASE_MAX:
            last = each
            continue
        if first is not None and last is not None:
            yield first - 1, last
        first = last = each
    if first is not None and last is not None:
        yield first - 1, last
