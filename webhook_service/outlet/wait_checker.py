"""Waiting for messages: the conditions that waiting requests depend on, and whether these are met yet."""

from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass

from webhook_service.domain.consumers import ConsumerKind
from webhook_service.outlet.availability import check_for_messages
from webhook_service.outlet.newest_by_source import NewestBySource
from webhook_service.storage.changes import Changes
from webhook_service.storage.clock import read_now
from webhook_service.storage.database import Database
from webhook_service.storage.queries.consumers import find_consumer
from webhook_service.storage.queries.messages import newest_for_programs, newest_place

WAIT_CHECKER = "webhook_service.wait_checker"
"""The key of an application's ``extensions`` under which its checker of waits stands."""


@dataclass(frozen=True, slots=True)
class AfterMessage:
    """The condition that there is a message after the one with the id ``after``, of a source if one is given.

    With ``for_programs``, which a source needs, a test message is none.
    """

    after: int
    for_programs: bool = True
    source: str | None = None


@dataclass(frozen=True, slots=True)
class ForConsumer:
    """The condition that there may be something to give to a consumer."""

    kind: ConsumerKind
    name: str


WaitCondition = AfterMessage | ForConsumer
"""A condition that a waiting request depends on; where many wait for the same, it is looked up once."""


class WaitChecker:
    """Finds out whether there is something for the requests that wait."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._newest_by_source = NewestBySource()

    def changes(self) -> AbstractContextManager[Changes]:
        """Opens what notices that something is stored, from now on. Raises StorageUnavailable."""
        return self._database.changes()

    def find_met(self, conditions: Collection[WaitCondition]) -> set[WaitCondition]:
        """Returns those of the conditions that are met now. Raises StorageUnavailable."""
        return self._after_messages(conditions) | self._for_consumers(conditions)

    def _after_messages(self, conditions: Collection[WaitCondition]) -> set[WaitCondition]:
        asked = [condition for condition in conditions if isinstance(condition, AfterMessage)]
        if not asked:
            return set()
        with self._database.snapshot() as snapshot:
            newest = {
                for_programs: newest_for_programs(snapshot) if for_programs else newest_place(snapshot)
                for for_programs in {condition.for_programs for condition in asked}
            }
            if any(condition.source is not None for condition in asked):
                self._newest_by_source.follow(snapshot, newest[True])
        came = {condition for condition in asked if newest[condition.for_programs] > condition.after}
        return {
            condition
            for condition in came
            if condition.source is None or self._newest_by_source.has_come(condition.source, condition.after)
        }

    def _for_consumers(self, conditions: Collection[WaitCondition]) -> set[WaitCondition]:
        met: set[WaitCondition] = set()
        asked = [condition for condition in conditions if isinstance(condition, ForConsumer)]
        if not asked:
            return met
        with self._database.primary_snapshot() as snapshot:
            now, newest = read_now(snapshot), newest_for_programs(snapshot)
            for condition in asked:
                consumer = find_consumer(snapshot, condition.kind, condition.name)
                if consumer is None or check_for_messages(snapshot, consumer, newest, now).is_worth_leasing:
                    met.add(condition)
        return met
