"""Consumers: making, changing, moving and describing them."""

from collections.abc import Callable
from datetime import datetime

from webhook_service.domain.consumers import (
    BEGINNING,
    NOW,
    Consumer,
    ConsumerKind,
    ConsumerNotFound,
    ConsumerOptions,
    ConsumerReport,
    Start,
    StartNotFound,
    TooManyConsumers,
)
from webhook_service.domain.limits import CONSUMERS_MAX
from webhook_service.storage.clock import read_now
from webhook_service.storage.database import PATIENCE, Database
from webhook_service.storage.queries.consumers import (
    change_consumer,
    delete_consumer,
    find_consumer,
    find_id_at,
    find_id_of,
    insert_consumer,
    list_consumers,
    read_lag,
    read_place,
    set_given_up_to,
)
from webhook_service.storage.queries.dead_letters import count_dead_letters
from webhook_service.storage.queries.messages import newest_place
from webhook_service.storage.queries.retries import delete_retries
from webhook_service.storage.queries.stretches import count_leases, delete_stretches
from webhook_service.storage.writing import Transaction


def find_start(snapshot: Transaction, start: Start) -> int:
    """Finds the id after which a reader begins. Raises MessageNotFound when no message has the ID in ``start``."""
    match start:
        case datetime():
            first = find_id_at(snapshot, start)
            return newest_place(snapshot) if first is None else first - 1
        case str():
            first = find_id_of(snapshot, start)
            if first is None:
                raise StartNotFound
            return first - 1
    return newest_place(snapshot) if start is NOW else 0


class Consumers:
    """The consumers of one kind."""

    def __init__(
        self, database: Database, kind: ConsumerKind, read_clock: Callable[[Transaction], datetime] = read_now
    ) -> None:
        self._database = database
        self._kind = kind
        self._read_now = read_clock

    def put(self, name: str, options: ConsumerOptions, start: Start = BEGINNING) -> bool:
        """Makes a consumer that begins at ``start``, or changes the options of an existing one; True when it is new.

        Raises TooManyConsumers, and MessageNotFound when no message has the ID in ``start``.
        """
        begins_after = self._find_start(start)
        with self._database.transaction(PATIENCE) as transaction:
            consumer = find_consumer(transaction, self._kind, name, lock=True)
            if consumer is not None:
                change_consumer(transaction, consumer, options)
                return False
            if len(list_consumers(transaction, self._kind)) >= CONSUMERS_MAX:
                raise TooManyConsumers
            insert_consumer(transaction, self._kind, name, options, begins_after, self._read_now(transaction))
        return True

    def delete(self, name: str) -> None:
        """Deletes a consumer, with its place and its dead letters. Raises ConsumerNotFound."""
        with self._database.transaction_without_turn() as transaction:
            consumer = self._found(find_consumer(transaction, self._kind, name, lock=True))
            delete_consumer(transaction, consumer)

    def seek(self, name: str, start: Start) -> None:
        """Moves the place of a consumer, and ends its leases. Raises ConsumerNotFound and MessageNotFound.

        What a destination has after the new place comes again from the feed, so it waits for no other attempt. A move
        back leaves what waits before the new place; a move forward passes over that, as over the rest.
        """
        begins_after = self._find_start(start)
        with self._database.transaction_without_turn() as transaction:
            consumer = self._found(find_consumer(transaction, self._kind, name, lock=True))
            is_back = begins_after < read_place(transaction, consumer)
            delete_retries(transaction, consumer.id, begins_after if is_back else 0)
            delete_stretches(transaction, consumer)
            set_given_up_to(transaction, consumer, begins_after)

    def read(self, name: str) -> ConsumerReport:
        """Reads a consumer and how it is doing. Raises ConsumerNotFound."""
        with self._database.primary_snapshot() as snapshot:
            consumer = self._found(find_consumer(snapshot, self._kind, name))
            return self._report(snapshot, consumer, count_dead_letters(snapshot).get(consumer.id, 0))

    def read_all(self) -> list[ConsumerReport]:
        """Reads all consumers and how they are doing, by name."""
        with self._database.primary_snapshot() as snapshot:
            dead_letters = count_dead_letters(snapshot)
            return [
                self._report(snapshot, consumer, dead_letters.get(consumer.id, 0))
                for consumer in list_consumers(snapshot, self._kind)
            ]

    def _report(self, snapshot: Transaction, consumer: Consumer, dead_letters: int) -> ConsumerReport:
        now = self._read_now(snapshot)
        return ConsumerReport(
            consumer,
            read_place(snapshot, consumer),
            read_lag(snapshot, consumer, now),
            count_leases(snapshot, consumer, now),
            dead_letters,
        )

    def _find_start(self, start: Start) -> int:
        with self._database.long_snapshot() as snapshot:
            return find_start(snapshot, start)

    def _found(self, consumer: Consumer | None) -> Consumer:
        if consumer is None:
            raise ConsumerNotFound
        return consumer
