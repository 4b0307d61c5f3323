"""The part of the feed that a consumer gets: its filter, its place, and how far it is behind."""

from datetime import timedelta

import pytest

from tests.support.consumers import Desk, ids, names, store
from webhook_service.domain.consumers import (
    NOW,
    ConsumerNotFound,
    FeedFilter,
    LeaseEnded,
    StartNotFound,
)
from webhook_service.storage.database import Database


@pytest.mark.parametrize(
    "wanted",
    [
        {"sender": "+491"},
        {"recipient": "+493"},
        {"provider": "twilio"},
        {"source": "calls"},
        {"type": "image"},
        {"provider": "twilio", "source": "calls"},
    ],
    ids=str,
)
def test_a_filter_gives_only_what_passes_it(desk: Desk, database: Database, wanted: dict[str, str]) -> None:
    desk.make(wanted=FeedFilter(**wanted))
    store(database, "m1")
    store(database, "m2", "m3", **wanted)
    store(database, "m4")

    lease = desk.must_lease()
    desk.ack(lease)

    assert ids(lease) == ["m2", "m3"]
    assert desk.state().lag.messages == 0
    assert desk.lease() is None


def test_a_filter_by_provider_gives_the_messages_of_all_its_sources(desk: Desk, database: Database) -> None:
    desk.make(wanted=FeedFilter(provider="native"))
    store(database, "m1")  # of the source that has the provider's name
    store(database, "m2", source="shop")
    store(database, "m3", provider="twilio")

    assert ids(desk.lease()) == ["m1", "m2"]


def test_a_filter_that_passes_over_many_messages_is_not_asked_about_them_again(desk: Desk, database: Database) -> None:
    desk.make(wanted=FeedFilter(sender="+491"))
    store(database, *names(1, 2000))

    assert desk.lease() is None

    with database.snapshot() as snapshot:
        newest = snapshot.exec_driver_sql("SELECT max(id) FROM messages").scalar_one()
    assert desk.state().place == newest


def test_the_lag_is_exact_to_ten_thousand_and_then_at_least_that(desk: Desk, database: Database) -> None:
    for start in range(0, 10_000, 2_000):
        store(database, *names(start, start + 1_999))
    exact = desk.state().lag
    store(database, "one more")

    assert (exact.messages, exact.is_exact) == (10_000, True)
    more = desk.state().lag
    assert (more.messages, more.is_exact) == (10_000, False)


def test_the_lag_in_seconds_is_the_age_of_the_oldest_message(desk: Desk, database: Database) -> None:
    assert desk.state().lag.seconds == 0
    store(database, "m1")
    with database.snapshot() as snapshot:
        assert snapshot.dialect.name in {"sqlite", "postgresql"}
    received_at = desk.must_lease().messages[0].received_at
    desk.clock.now = received_at + timedelta(seconds=90)

    assert desk.state().lag.seconds == 90


def test_a_place_can_be_moved_to_the_beginning_to_now_to_a_message_and_to_a_time(
    desk: Desk, database: Database
) -> None:
    store(database, *names(1, 3))
    lease = desk.must_lease()

    desk.consumers.seek("crm", NOW)
    assert desk.lease() is None
    with pytest.raises(LeaseEnded):
        desk.ack(lease)
    desk.consumers.seek("crm", "m2")
    assert ids(desk.lease()) == ["m2", "m3"]
    desk.consumers.seek("crm", lease.messages[0].received_at)
    assert ids(desk.lease()) == names(1, 3)
    desk.consumers.seek("crm", lease.messages[0].received_at + timedelta(seconds=1))
    assert desk.lease() is None
    with pytest.raises(StartNotFound):
        desk.consumers.seek("crm", "m9")


def test_a_consumer_may_start_at_the_newest_message(database: Database) -> None:
    store(database, "m1")
    late = Desk(database, "late")
    late.make(NOW)
    store(database, "m2")

    assert ids(late.lease()) == ["m2"]


def test_a_consumer_that_is_made_again_begins_anew(desk: Desk, database: Database) -> None:
    store(database, "m1")
    desk.ack(desk.must_lease(), dead={"m1": "?"})

    desk.consumers.delete("crm")
    with pytest.raises(ConsumerNotFound):
        desk.lease()
    desk.make()

    assert desk.dead() == {}
    assert ids(desk.lease()) == ["m1"]


def test_changing_a_consumer_leaves_its_place(desk: Desk, database: Database) -> None:
    store(database, "m1", "m2")
    desk.ack(desk.must_lease(limit=1))

    desk.make(NOW, max_leases=4)

    assert ids(desk.lease()) == ["m2"]
    assert desk.state().consumer.options.max_leases == 4


SKIP = {
    "sqlite": "UPDATE sqlite_sequence SET seq = seq + 1000000000 WHERE name = 'messages'",
    "postgresql": "SELECT setval(pg_get_serial_sequence('messages', 'id'), 1000000000)",
}


def test_ids_that_a_restored_inbox_skips_are_no_lag_and_no_work(desk: Desk, database: Database) -> None:
    desk.make(wanted=FeedFilter(sender="+491"))
    store(database, "m1", "m2", sender="+491")
    held = desk.must_lease(limit=1)
    with database.transaction() as transaction:
        transaction.exec_driver_sql(SKIP[transaction.dialect.name])
    store(database, "m3", "m4", sender="+491")

    lag = desk.state().lag
    assert (lag.messages, lag.is_exact) == (4, True)
    desk.ack(held)
    assert ids(desk.lease()) == ["m2", "m3", "m4"]
