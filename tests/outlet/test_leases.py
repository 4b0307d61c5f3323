"""What consumers are given, and what becomes of it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, event, func, select

from tests.support.consumers import Desk, ids, names, store
from webhook_service.domain.consumers import (
    ConsumerKind,
    DeadLetterFilter,
    FeedFilter,
    LeaseEnded,
    NotInLease,
    Stretch,
)
from webhook_service.outlet.leases import Locked, give
from webhook_service.storage.consumer_models import StretchRow
from webhook_service.storage.database import Database
from webhook_service.storage.queries.consumers import find_consumer, set_given_up_to
from webhook_service.storage.queries.stretches import insert_stretches


def stretches(database: Database) -> int:
    with database.snapshot() as snapshot:
        return snapshot.scalars(select(func.count()).select_from(StretchRow)).one()


def test_a_consumer_gets_every_message_in_stored_order(desk: Desk, database: Database) -> None:
    store(database, *names(1, 5))

    first = desk.must_lease(limit=3)
    desk.ack(first)
    second = desk.must_lease(limit=3)
    desk.ack(second)

    assert (ids(first), ids(second)) == (names(1, 3), names(4, 5))
    assert desk.lease() is None


def test_a_lease_tells_whether_enough_for_another_is_left(desk: Desk, database: Database) -> None:
    desk.make(max_leases=10)
    store(database, *names(1, 5))

    given = [desk.must_lease(limit=2) for _ in range(3)]

    assert [lease.leaves_little for lease in given] == [False, True, True]


def test_one_lease_at_a_time_keeps_the_order(desk: Desk, database: Database) -> None:
    store(database, "m1", "m2")

    first = desk.must_lease(limit=1)

    assert desk.lease() is None
    desk.ack(first)
    assert ids(desk.lease()) == ["m2"]


def test_several_leases_share_the_work(desk: Desk, database: Database) -> None:
    desk.make(max_leases=2)
    store(database, *names(1, 3))

    first, second, third = (desk.lease(limit=1) for _ in range(3))

    assert (ids(first), ids(second), third) == (["m1"], ["m2"], None)


def test_the_place_is_that_of_the_oldest_message_that_is_not_acknowledged(desk: Desk, database: Database) -> None:
    desk.make(max_leases=3)
    store(database, *names(1, 3))
    first, second = desk.must_lease(limit=1), desk.must_lease(limit=1)

    desk.ack(second)
    before = desk.state()
    desk.ack(first)

    assert before.place == first.messages[0].id - 1
    assert (before.lag.messages, before.leases) == (2, 1)
    assert desk.state().place == second.messages[0].id


def test_two_consumers_each_see_everything(desk: Desk, database: Database) -> None:
    other = Desk(database, "bi")
    other.make()
    store(database, *names(1, 3))

    assert ids(desk.lease()) == ids(other.lease()) == names(1, 3)


def test_refused_messages_come_first_and_say_how_often_they_came(desk: Desk, database: Database) -> None:
    store(database, *names(1, 3))
    refused = desk.must_lease(limit=2)
    desk.nack(refused)

    again = desk.must_lease(limit=2)

    assert (ids(again), refused.attempt, again.attempt) == (["m1", "m2"], 1, 2)


def test_messages_may_be_refused_for_a_time_and_hold_up_those_behind_them(desk: Desk, database: Database) -> None:
    store(database, "m1", "m2")
    desk.nack(desk.must_lease(limit=1), seconds=60)

    assert desk.lease() is None
    desk.clock.step(60)
    assert ids(desk.lease(limit=1)) == ["m1"]


def test_expired_messages_are_given_again(desk: Desk, database: Database) -> None:
    store(database, "m1")
    expired = desk.must_lease(seconds=30)

    desk.clock.step(29.9)
    assert desk.lease() is None
    desk.clock.step(0.1)
    again = desk.must_lease()

    assert (ids(again), again.attempt) == (["m1"], 2)
    with pytest.raises(LeaseEnded):
        desk.ack(expired)


def test_an_expired_lease_can_be_acknowledged_until_it_is_given_again(desk: Desk, database: Database) -> None:
    store(database, "m1")
    expired = desk.must_lease(seconds=30)
    desk.clock.step(31)

    with pytest.raises(LeaseEnded):
        desk.leases.extend(desk.name, expired.token, seconds=30)
    desk.ack(expired)

    assert desk.lease() is None


def test_an_extended_lease_lasts_longer(desk: Desk, database: Database) -> None:
    store(database, "m1")
    lease = desk.must_lease(seconds=30)
    desk.clock.step(20)

    expires_at = desk.leases.extend(desk.name, lease.token, seconds=30)
    desk.clock.step(29)

    assert expires_at == desk.clock.now + timedelta(seconds=1)
    assert desk.lease() is None


def test_a_clock_that_is_set_back_makes_no_lease_last_for_ever(desk: Desk, database: Database) -> None:
    store(database, "m1")
    desk.must_lease(seconds=30)

    desk.clock.step(-3600)
    assert desk.lease() is None
    desk.clock.step(29)
    assert desk.lease() is None
    desk.clock.step(1)

    assert ids(desk.lease()) == ["m1"]


def test_what_was_refused_before_the_clock_is_set_back_is_given_again_at_once(desk: Desk, database: Database) -> None:
    store(database, "m1")
    desk.nack(desk.must_lease())

    desk.clock.step(-3600)

    assert ids(desk.lease()) == ["m1"]


def test_a_clock_that_is_set_on_gives_messages_twice_and_loses_none(desk: Desk, database: Database) -> None:
    store(database, "m1")
    lost = desk.must_lease(seconds=30)

    desk.clock.step(3600)
    again = desk.must_lease(seconds=30)
    desk.clock.step(-3600)

    with pytest.raises(LeaseEnded):
        desk.ack(lost)
    desk.ack(again)
    assert desk.state().lag.messages == 0


def test_a_lease_of_a_thousand_is_one_row_and_an_acknowledged_one_is_none(desk: Desk, database: Database) -> None:
    store(database, *names(1, 1000))

    lease = desk.must_lease(limit=1000)

    assert stretches(database) == 1
    desk.ack(lease)
    assert stretches(database) == 0
    assert desk.state().lag.messages == 0


def test_a_smaller_lease_leaves_the_rest_of_what_was_refused(desk: Desk, database: Database) -> None:
    store(database, *names(1, 5))
    desk.nack(desk.must_lease(limit=4))

    given = []
    for _ in range(3):
        lease = desk.must_lease(limit=2)
        given.append((ids(lease), lease.attempt))
        desk.ack(lease)

    assert given == [(["m1", "m2"], 2), (["m3", "m4"], 2), (["m5"], 1)]


def test_the_message_that_cannot_be_taken_is_found_by_halving_and_set_aside(desk: Desk, database: Database) -> None:
    desk.make(max_attempts=2)
    store(database, *names(1, 100))
    taken: list[str] = []
    leases = 0

    while lease := desk.lease():
        leases += 1
        if "m37" in ids(lease):
            desk.nack(lease, reason="m37 has no price")
        else:
            taken += ids(lease)
            desk.ack(lease)

    assert taken == [name for name in names(1, 100) if name != "m37"]
    assert desk.dead() == {"m37": "m37 has no price"}
    assert leases < 20
    assert desk.state().lag.messages == 0


def test_a_message_that_nobody_acknowledges_becomes_a_dead_letter(desk: Desk, database: Database) -> None:
    desk.make(max_attempts=3)
    store(database, "m1", "m2")

    attempts = []
    for _ in range(3):
        attempts.append(desk.must_lease(limit=1, seconds=30).attempt)
        desk.clock.step(31)

    assert attempts == [1, 2, 3]
    assert ids(desk.lease()) == ["m2"]
    assert desk.dead() == {"m1": "not acknowledged in 3 attempts"}


def test_an_acknowledgement_may_set_messages_aside(desk: Desk, database: Database) -> None:
    store(database, *names(1, 3))

    desk.ack(desk.must_lease(), dead={"m2": "unknown customer"})

    assert desk.dead() == {"m2": "unknown customer"}
    assert desk.lease() is None
    assert desk.state().dead_letters == 1


def test_only_messages_of_the_lease_can_be_set_aside(desk: Desk, database: Database) -> None:
    store(database, *names(1, 3))
    lease = desk.must_lease(limit=2)

    with pytest.raises(NotInLease) as refused:
        desk.ack(lease, dead={"m2": "?", "m3": "?", "m9": "?"})

    assert refused.value.message_ids == ["m3", "m9"]
    assert desk.dead() == {}
    desk.ack(lease)


def test_a_dead_letter_that_is_retried_comes_again_from_its_first_attempt(desk: Desk, database: Database) -> None:
    store(database, *names(1, 4))
    desk.ack(desk.must_lease(limit=3), dead={"m1": "?", "m2": "?"})

    assert desk.dead_letters.retry_all(DeadLetterFilter(consumer="crm")) == 2

    again = desk.must_lease(limit=10)
    assert (ids(again), again.attempt) == (["m1", "m2"], 1)
    assert desk.dead() == {}
    desk.ack(again)
    assert ids(desk.lease()) == ["m4"]


def test_a_dead_letter_goes_with_its_message(desk: Desk, database: Database) -> None:
    store(database, "m1")
    desk.ack(desk.must_lease(), dead={"m1": "?"})

    with database.transaction() as transaction:
        transaction.exec_driver_sql("DELETE FROM messages")

    assert desk.dead() == {}


def test_messages_that_are_deleted_while_they_are_given_are_passed_over(desk: Desk, database: Database) -> None:
    store(database, *names(1, 3))
    desk.nack(desk.must_lease(limit=2))

    with database.transaction() as transaction:
        transaction.exec_driver_sql("DELETE FROM messages WHERE message_id IN ('m1', 'm2')")

    assert ids(desk.lease()) == ["m3"]


@pytest.mark.parametrize("wanted", [FeedFilter(), FeedFilter(sender="+4915112345678")], ids=["all", "filtered"])
def test_a_lease_with_its_acknowledgement_takes_few_statements(
    wanted: FeedFilter, desk: Desk, database: Database
) -> None:
    desk.make(wanted=wanted)
    store(database, "m1")
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if not statement.startswith("BEGIN"):
            statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        desk.ack(desk.must_lease())
    finally:
        event.remove(Engine, "before_cursor_execute", note)

    assert len(statements) == (14 if wanted.conditions() else 11)  # without the clock, which is the test's


def test_workers_that_lease_at_once_share_the_messages(desk: Desk, database: Database) -> None:
    desk.make(max_leases=4)
    store(database, *names(1, 200))

    def work(_worker: int) -> list[str]:
        taken = []
        while lease := desk.lease(limit=7):
            taken += ids(lease)
            desk.ack(lease)
        return taken

    with ThreadPoolExecutor(4) as threads:
        taken = [each for part in threads.map(work, range(4)) for each in part]

    assert sorted(taken) == sorted(names(1, 200))


def test_each_part_of_a_stretch_keeps_what_is_done_in_it(desk: Desk, database: Database) -> None:
    desk.make(max_leases=2)
    store(database, *names(1, 6))
    now = desk.clock.now
    with database.transaction() as transaction:
        consumer = find_consumer(transaction, ConsumerKind.CONSUMER, desk.name, lock=True)
        assert consumer is not None
        left = replace(Stretch.to_give_again(0, 6, now), attempt=1, done=(2, 5))
        set_given_up_to(transaction, consumer, 6)
        insert_stretches(transaction, consumer, [left])
        locked = Locked(transaction, replace(consumer, given_up_to=6), now)
        given = [give(locked, limit, timedelta(seconds=30)) for limit in (2, 10)]

    assert [each and (each.after, each.last, list(each.done)) for each in given] == [(0, 3, [2]), (3, 6, [5])]
