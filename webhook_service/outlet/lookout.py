"""Waiting for messages: the questions that waiting requests depend on, and whether these have an answer yet."""

from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass

from webhook_service.domain.consumers import ConsumerKind
from webhook_service.outlet.arrivals import Arrivals
from webhook_service.outlet.outlook import look
from webhook_service.storage.changes import Changes
from webhook_service.storage.database import Database
from webhook_service.storage.queries.consumers import find_consumer, read_now
from webhook_service.storage.queries.messages import newest_for_programs, newest_place

LOOKOUT = "webhook_service.lookout"
"""The key of an application's ``extensions`` under which its lookout stands."""


@dataclass(frozen=True, slots=True)
class AfterMessage:
    """The question whether there is a message after the one with the id ``after``, of a source if one is given.

    With ``for_programs``, which a source needs, a test message is none.
    """

    after: int
    for_programs: bool = True
    source: str | None = None


@dataclass(frozen=True, slots=True)
class ForConsumer:
    """The question whether there may be something to give to a consumer."""

    kind: ConsumerKind
    name: str


Question = AfterMessage | ForConsumer
"""A question that a waiting request depends on; where many ask the same, it is looked up once."""


class Lookout:
    """Finds out whether there is something for the requests that wait."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._arrivals = Arrivals()

    def watching(self) -> AbstractContextManager[Changes]:
        """Opens what notices that something is stored, from now on. Raises StorageUnavailable."""
        return self._database.watching()

    def find_answered(self, questions: Collection[Question]) -> set[Question]:
        """Returns those of the questions that have an answer now. Raises StorageUnavailable."""
        return self._after_messages(questions) | self._for_consumers(questions)

    def _after_messages(self, questions: Collection[Question]) -> set[Question]:
        asked = [question for question in questions if isinstance(question, AfterMessage)]
        if not asked:
            return set()
        with self._database.snapshot() as snapshot:
            newest = {
                for_programs: newest_for_programs(snapshot) if for_programs else newest_place(snapshot)
                for for_programs in {question.for_programs for question in asked}
            }
            if any(question.source is not None for question in asked):
                self._arrivals.follow(snapshot, newest[True])
        came = {question for question in asked if newest[question.for_programs] > question.after}
        return {
            question
            for question in came
            if question.source is None or self._arrivals.has_come(question.source, question.after)
        }

    def _for_consumers(self, questions: Collection[Question]) -> set[Question]:
        answered: set[Question] = set()
        asked = [question for question in questions if isinstance(question, ForConsumer)]
        if not asked:
            return answered
        with self._database.primary_snapshot() as snapshot:
            now = read_now(snapshot)
            for question in asked:
                consumer = find_consumer(snapshot, question.kind, question.name)
                if consumer is None or look(snapshot, consumer, now).is_worth_a_try:
                    answered.add(question)
        return answered
