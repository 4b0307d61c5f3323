"""Destinations: how each is doing, resuming one, and forgetting one that is no longer declared."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from webhook_service.domain.consumers import ConsumerKind, ConsumerNotFound, Start
from webhook_service.domain.destinations import (
    Destination,
    DestinationDeclared,
    DestinationHealth,
    DestinationNotFound,
    DestinationReport,
    WaitingMessage,
)
from webhook_service.domain.limits import RETRIES_COUNTED_MAX
from webhook_service.outlet.breaker import resume
from webhook_service.outlet.consumers import Consumers
from webhook_service.outlet.leases import Locked
from webhook_service.storage.clock import read_now
from webhook_service.storage.database import Database
from webhook_service.storage.queries.consumers import (
    delete_consumer,
    find_consumer,
    list_consumers,
    read_lag,
    read_place,
)
from webhook_service.storage.queries.dead_letters import count_dead_letters
from webhook_service.storage.queries.destinations import read_all_health, read_health, save_health
from webhook_service.storage.queries.retries import count_retries, list_retries, make_all_due


class Destinations:
    """The destinations that are declared, and those that no longer are but have not been forgotten yet."""

    def __init__(self, database: Database, declared: Mapping[str, Destination]) -> None:
        self._database = database
        self._declared = declared

    def read_all(self) -> list[DestinationReport]:
        """Reads how each destination is doing, in the order of their names."""
        with self._database.primary_snapshot() as snapshot:
            now = read_now(snapshot)
            health_by_name, dead = read_all_health(snapshot), count_dead_letters(snapshot)
            known = {}
            for consumer in list_consumers(snapshot, ConsumerKind.DESTINATION):
                name, retries = consumer.name, count_retries(snapshot, consumer.id, RETRIES_COUNTED_MAX + 1)
                known[name] = DestinationReport(
                    name,
                    self._declared[name].target if name in self._declared else None,
                    health_by_name.get(name, DestinationHealth()),
                    read_place(snapshot, consumer),
                    read_lag(snapshot, consumer, now),
                    min(retries, RETRIES_COUNTED_MAX),
                    retries <= RETRIES_COUNTED_MAX,
                    dead.get(consumer.id, 0),
                )
        new = {name: DestinationReport(name, each.target) for name, each in self._declared.items()}
        return [report for _, report in sorted({**new, **known}.items())]

    def read(self, name: str) -> DestinationReport:
        """Reads how one destination is doing. Raises DestinationNotFound."""
        found = next((report for report in self.read_all() if report.name == name), None)
        if found is None:
            raise DestinationNotFound
        return found

    def list_waiting(self, name: str, limit: int) -> list[WaitingMessage]:
        """Reads the oldest messages of a destination that wait for another attempt. Raises DestinationNotFound."""
        with self._database.primary_snapshot() as snapshot:
            consumer = find_consumer(snapshot, ConsumerKind.DESTINATION, name)
            if consumer is None:
                raise DestinationNotFound
            return list_retries(snapshot, consumer.id, limit)

    def resume(self, name: str) -> None:
        """Has a destination pushed to again, waiting messages at once. Raises DestinationNotFound."""
        with self._locked(name) as locked:
            transaction, consumer = locked.transaction, locked.consumer
            save_health(transaction, consumer.id, resume(read_health(transaction, consumer.id)))
            make_all_due(transaction, consumer.id, locked.now)

    def seek(self, name: str, start: Start) -> None:
        """Moves a destination in the feed, as ``Consumers.seek`` does. Raises DestinationNotFound and StartNotFound."""
        try:
            Consumers(self._database, ConsumerKind.DESTINATION).seek(name, start)
        except ConsumerNotFound as not_found:
            raise DestinationNotFound from not_found

    def forget(self, name: str) -> None:
        """Deletes the place, the retries and the dead letters of a destination that is no longer declared.

        Raises DestinationNotFound and DestinationDeclared.
        """
        if name in self._declared:
            raise DestinationDeclared
        with self._locked(name) as locked:
            delete_consumer(locked.transaction, locked.consumer)

    @contextmanager
    def _locked(self, name: str) -> Iterator[Locked]:
        with self._database.transaction_without_turn() as transaction:
            consumer = find_consumer(transaction, ConsumerKind.DESTINATION, name, lock=True)
            if consumer is None:
                raise DestinationNotFound
            yield Locked(transaction, consumer, read_now(transaction))
