"""Requests that are held back: when their conditions are looked at, and when they are served again."""

import logging
import time
from collections.abc import Collection
from queue import Queue
from typing import cast

import pytest

from tests.support.consumers import Desk, store
from webhook_service.domain.consumers import ConsumerKind
from webhook_service.outlet.wait_checker import ForConsumer, WaitChecker, WaitCondition
from webhook_service.serving import waiting as module
from webhook_service.serving.connection import Connection
from webhook_service.serving.waiting import HeldRequest, HeldRequests
from webhook_service.storage.database import Database

REST = 0.3  # seconds: longer than the time between two looks


class NotedWaitChecker(WaitChecker):
    """A checker of waits that notes when it looked for a condition."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.looks: dict[WaitCondition, list[float]] = {}

    def find_met(self, conditions: Collection[WaitCondition]) -> set[WaitCondition]:
        for condition in conditions:
            self.looks.setdefault(condition, []).append(time.monotonic())
        return super().find_met(conditions)


def test_who_rests_is_served_as_soon_as_the_rest_is_over_and_not_looked_for_before(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_LOOK", 600.0)  # so that nothing but the end of the rest leads to a look
    crm, shop = (ForConsumer(ConsumerKind.CONSUMER, name) for name in ("crm", "shop"))
    for each in (crm, shop):
        Desk(database, each.name).make()
    store(database, "m1")
    checker = NotedWaitChecker(database)
    served: Queue[Connection] = Queue()

    def serve_again(connections: list[Connection]) -> None:
        for connection in connections:
            served.put(connection)

    held = HeldRequests(checker, serve_again, logging.getLogger(__name__))
    resting, other = (cast("Connection", object()) for _ in range(2))
    began = time.monotonic()
    held.add(resting, HeldRequest(None, crm, until=began + 600, not_before=began + REST))
    held.add(other, HeldRequest(None, shop, until=began + 600, not_before=began))

    assert [served.get(timeout=30), served.get(timeout=30)] == [other, resting]
    assert min(checker.looks[shop]) < began + REST <= min(checker.looks[crm])


def test_of_those_that_wait_for_a_consumer_one_that_does_not_rest_is_served(database: Database) -> None:
    crm = ForConsumer(ConsumerKind.CONSUMER, "crm")
    Desk(database, crm.name).make()
    store(database, "m1")
    served: Queue[list[Connection]] = Queue()
    held = HeldRequests(WaitChecker(database), served.put, logging.getLogger(__name__))
    resting, other = (cast("Connection", object()) for _ in range(2))
    now = time.monotonic()
    held.add(resting, HeldRequest(None, crm, until=now + 600, not_before=now + 600))
    held.add(other, HeldRequest(None, crm, until=now + 600, not_before=now))

    assert served.get(timeout=30) == [other]
    assert held.take_all() == [resting]
