"""Giving stored messages to a consumer or a destination again."""

from collections.abc import Collection

from webhook_service.domain.consumers import ConsumerKind, ConsumerNotFound, Stretch
from webhook_service.outlet.dead_letters import runs
from webhook_service.storage.clock import read_now
from webhook_service.storage.database import Database
from webhook_service.storage.queries.consumers import find_consumer
from webhook_service.storage.queries.stretches import insert_stretches


def resend(database: Database, kind: ConsumerKind, name: str, feed_ids: Collection[int]) -> None:
    """Has messages given again, by their ids in the feed. Raises ConsumerNotFound.

    Messages that the consumer has not reached yet are left out, since they are still to come.
    """
    with database.transaction_without_turn() as transaction:
        consumer = find_consumer(transaction, kind, name, lock=True)
        if consumer is None:
            raise ConsumerNotFound
        now = read_now(transaction)
        reached = sorted(feed_id for feed_id in feed_ids if feed_id <= consumer.given_up_to)
        again = [Stretch.to_give_again(after, last, now) for after, last in runs(reached)]
        insert_stretches(transaction, consumer, again)
