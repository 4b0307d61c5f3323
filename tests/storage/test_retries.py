"""The table of retries: who has a message that waits, and until when."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from tests.support.consumers import store
from tests.support.messages import message
from webhook_service.domain.consumers import BEGINNING, ConsumerKind, ConsumerOptions
from webhook_service.domain.destinations import Retry
from webhook_service.outlet.consumers import Consumers
from webhook_service.storage.database import Database
from webhook_service.storage.queries.consumers import find_consumer
from webhook_service.storage.queries.messages import encode_message, insert_messages
from webhook_service.storage.queries.retries import add_retries, change_retry, count_retries, free_retry, take_due
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
    free_retry(transaction, before)
    change_retry(transaction, before, SOON)

    assert take(transaction, SOON, LATER) == []
    free_retry(transaction, taken)
    assert len(take(transaction, SOON, LATER)) == 1


def test_what_is_taken_until_a_time_that_no_right_clock_gave_is_free(transaction: Transaction) -> None:
    take(transaction, NOW, NOW + timedelta(hours=3))

    assert len(take(transaction, NOW, SOON)) == 1


def queue(transaction: Transaction, sender: str, first: int, number: int) -> None:
    """Has messages of a sender wait, the first of which is due; the others wait for it."""
    new = [f"{sender}-{at}" for at in range(number)]
    feed_ids = range(first, first + number)
    insert_messages(transaction, [encode_message(message(each, sender=sender)) for each in new])
    times = [NOW, *[None] * (number - 1)]
    add_retries(
        transaction,
        CONSUMER,
        [
            {"feed_id": feed_id, "sender": sender, "attempts": [], "first_at": None, "next_at": due}
            for feed_id, due in zip(feed_ids, times, strict=True)
        ],
    )


def test_with_what_is_due_come_the_next_of_each_sender_in_their_order(transaction: Transaction) -> None:
    take(transaction, NOW, LATER)
    queue(transaction, "+1", 2, 30)
    queue(transaction, "+2", 32, 3)

    taken = take(transaction, NOW, SOON)

    by_sender = {sender: [retry.feed_id for retry in taken if retry.sender == sender] for sender in ("+1", "+2")}
    assert by_sender == {"+1": [2, 3, 4, 5, 6], "+2": [32, 33, 34]}


def test_a_long_queue_of_a_sender_is_not_sorted_to_find_its_first(transaction: Transaction) -> None:
    take(transaction, NOW, LATER)
    queue(transaction, "+1", 2, 500)
    transaction.execute(text("ANALYZE"))
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if statement.startswith("SELECT"):
            statements.append((statement, parameters))

    event.listen(transaction, "before_cursor_execute", note)
    assert len(take(transaction, NOW, SOON)) == 10
    event.remove(transaction, "before_cursor_execute", note)
    behind, parameters = statements[-1]
    explain = "EXPLAIN" if transaction.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    plan = "\n".join(str(row[-1]) for row in transaction.exec_driver_sql(f"{explain} {behind}", parameters))

    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan


def test_what_waits_is_counted_no_further_than_is_asked(transaction: Transaction) -> None:
    queue(transaction, "+1", 2, 500)

    assert [count_retries(transaction, CONSUMER, most) for most in (1000, 501, 100)] == [501, 501, 100]
    assert count_retries(transaction, CONSUMER + 1, 100) == 0
