"""The table of retries: who has a message that waits, and until when."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.consumers import store
from webhook_service.domain.consumers import BEGINNING, ConsumerKind, ConsumerOptions
from webhook_service.domain.destinations import Retry
from webhook_service.outlet.consumers import Consumers
from webhook_service.storage.database import Database
from webhook_service.storage.queries.consumers import find_consumer
from webhook_service.storage.queries.retries import add_retries, change_retry, give_back_retry, take_due
from webhook_service.storage.writing import Transaction

NOW = datetime(2026, 1, 15, 10, tzinfo=UTC)
SOON, LATER = NOW + timedelta(seconds=30), NOW + timedelta(seconds=60)
CONSUMER = 1


@pytest.fixture
def transaction(database: Database) -> Iterator[Transaction]:
    """One in which a destination's only message waits for another attempt."""
    store(database, "m1")
    Consumers(database, ConsumerKind.DESTINATION).put("shop", ConsumerOptions(), BEGINNING)
    with database.transaction() as transaction:
        consumer = find_consumer(transaction, ConsumerKind.DESTINATION, "shop")
        assert consumer is not None
        assert consumer.id == CONSUMER
        row = {"feed_id": 1, "sender": "+4915112345678", "attempts": [], "first_at": None, "next_at": NOW}
        add_retries(transaction, CONSUMER, [row])
        yield transaction


def take(transaction: Transaction, now: datetime, until: datetime, *besides: int) -> list[Retry]:
    return take_due(transaction, CONSUMER, now, until, 10, besides=besides)


def test_what_is_taken_is_taken_again_only_once_its_time_is_over_and_it_is_not_in_hand(
    transaction: Transaction,
) -> None:
    (taken,) = take(transaction, NOW, SOON)

    assert take(transaction, NOW, SOON) == []
    assert take(transaction, SOON, LATER, taken.id) == []
    assert [retry.id for retry in take(transaction, SOON, LATER)] == [taken.id]


def test_whoever_had_it_before_does_not_give_back_what_another_has_taken(transaction: Transaction) -> None:
    (before,) = take(transaction, NOW, SOON)
    (taken,) = take(transaction, SOON, LATER)
    give_back_retry(transaction, before)
    change_retry(transaction, before, SOON)

    assert take(transaction, SOON, LATER) == []
    give_back_retry(transaction, taken)
    assert len(take(transaction, SOON, LATER)) == 1


def test_what_is_taken_until_a_time_that_no_right_clock_gave_is_free(transaction: Transaction) -> None:
    take(transaction, NOW, NOW + timedelta(hours=3))

    assert len(take(transaction, NOW, SOON)) == 1
