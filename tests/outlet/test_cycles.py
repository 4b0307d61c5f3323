"""Cycles of two forwarders, which record and take over; each push begins and ends when a test says so."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.support.consumers import names
from tests.support.hands import AHEAD, LEASE_SECONDS, Answer, Clocks, FlakyDatabase, Hands, Trouble, declared
from tests.support.pushes import count, feed_ids, place, store_of
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.consumers import ConsumerKind
from webhook_service.domain.destinations import On410, PushOrder
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.outlet.destinations import Destinations
from webhook_service.outlet.resending import resend
from webhook_service.storage.consumer_models import StretchRow
from webhook_service.storage.destination_models import RetryRow

RETRIED_AFTER = 6.0  # seconds: no message waits longer for its second attempt


@pytest.fixture
def flaky(database_url: str) -> Iterator[FlakyDatabase]:
    database = FlakyDatabase(parse_url(database_url), pool_size=2)
    yield database
    database.close()


@pytest.fixture
def forwarders(flaky: FlakyDatabase, clocks: Clocks) -> tuple[Hands, Hands]:
    """Two forwarders to a destination that takes messages in any order."""
    destinations = [declared("shop", PushOrder.NONE, On410.DEAD)]
    made = Hands(flaky, clocks, destinations), Hands(flaky, clocks, destinations)
    made[0].forwarder.register()
    return made


def push(hands: Hands, answer: Answer, *, most: int = 100) -> list[str]:
    """Makes the pushes that a forwarder may make now, and returns the IDs of the messages."""
    pushed: list[str] = []
    while len(pushed) < most and (begun := hands.begin("shop")) is not None:
        hands.finish(begun, answer.attempt(hands.clocks.now))
        pushed.append(begun.message_id)
    return pushed


def test_a_forwarder_that_dies_repeats_nothing_that_it_recorded_behind_a_slow_message(
    flaky: FlakyDatabase, clocks: Clocks, forwarders: tuple[Hands, Hands]
) -> None:
    dying, other = forwarders
    store_of(flaky, "+491", *names(1, AHEAD))
    dying.forwarder.cycle()
    assert dying.begin("shop") is not None  # m1, which takes its time
    assert push(dying, Answer.TAKEN) == names(2, AHEAD)
    dying.forwarder.cycle()
    clocks.sleep(LEASE_SECONDS + 1)

    other.forwarder.cycle()
    assert push(other, Answer.TAKEN) == ["m1"]
    other.forwarder.cycle()
    assert (place(flaky), count(flaky, StretchRow)) == (AHEAD, 0)


def test_a_failure_whose_record_the_database_could_not_confirm_is_not_recorded_again(
    flaky: FlakyDatabase, clocks: Clocks, forwarders: tuple[Hands, Hands]
) -> None:
    first, other = forwarders
    store_of(flaky, "+491", "m1")
    first.forwarder.cycle()
    assert push(first, Answer.BROKEN) == ["m1"]
    with flaky.troubled(Trouble.UNHEARD), suppress(StorageUnavailable):
        first.forwarder.cycle()
    clocks.sleep(6)
    other.forwarder.cycle()
    assert push(other, Answer.TAKEN) == ["m1"]
    other.forwarder.cycle()

    first.forwarder.cycle()
    assert count(flaky, RetryRow) == 0


def test_a_forwarder_that_was_held_up_gives_back_nothing_that_another_has_taken_over(
    flaky: FlakyDatabase, clocks: Clocks, forwarders: tuple[Hands, Hands]
) -> None:
    held_up, other = forwarders
    store_of(flaky, "+491", "m1", "m2")
    held_up.forwarder.cycle()
    assert push(held_up, Answer.BROKEN, most=1) == ["m1"]
    clocks.sleep(LEASE_SECONDS + 1)
    other.forwarder.cycle()
    assert push(other, Answer.TAKEN) == ["m1", "m2"]
    other.forwarder.cycle()

    assert push(held_up, Answer.TAKEN) == []  # its time is over
    held_up.forwarder.cycle()
    assert count(flaky, RetryRow) == 0


def test_what_had_to_wait_comes_after_an_earlier_message_that_a_dead_forwarder_left_behind(
    flaky: FlakyDatabase, clocks: Clocks
) -> None:
    dying, other, last = in_order(flaky, clocks, 3)
    store_of(flaky, "+491", *names(1, AHEAD))
    dying.forwarder.cycle()  # it takes a stretch, and is never heard of again
    store_of(flaky, "+491", "late")
    put_off(other)
    clocks.sleep(LEASE_SECONDS + 1)

    assert resume_and_push(last) == [*names(1, AHEAD), "late"]


def test_what_waits_does_not_overtake_a_message_of_its_sender_that_begins_to_wait(
    flaky: FlakyDatabase, clocks: Clocks
) -> None:
    first, dying, other, last = in_order(flaky, clocks, 4)
    store_of(flaky, "+491", "m1")
    first.forwarder.cycle()
    assert push(first, Answer.BROKEN) == ["m1"]
    first.forwarder.cycle()
    store_of(flaky, "+491", "m2")
    dying.forwarder.cycle()  # it takes a stretch, and is never heard of again
    store_of(flaky, "+491", "m3")
    put_off(other)
    clocks.sleep(LEASE_SECONDS + 1)

    assert resume_and_push(last) == ["m1", "m2", "m3"]


def test_what_waits_does_not_overtake_a_message_of_its_sender_that_another_forwarder_has_in_hand(
    flaky: FlakyDatabase, clocks: Clocks
) -> None:
    first, other = in_order(flaky, clocks, 2)
    store_of(flaky, "+491", "m1", "m2")
    first.forwarder.cycle()
    assert push(first, Answer.TAKEN, most=1) == ["m1"]
    assert push(first, Answer.BROKEN) == ["m2"]
    first.forwarder.cycle()
    clocks.sleep(RETRIED_AFTER)
    first.forwarder.cycle()
    assert first.in_hand("shop") == {"m2"}
    resend(flaky, ConsumerKind.DESTINATION, "shop", list(feed_ids(flaky, ["m1"]).values()))
    store_of(flaky, "+491", "m3")
    other.forwarder.cycle()
    assert push(other, Answer.BROKEN) == ["m1"]
    for _ in range(3):  # m3 is taken, and has to wait behind m1
        other.forwarder.cycle()
    clocks.sleep(RETRIED_AFTER)

    other.forwarder.cycle()
    assert push(other, Answer.TAKEN) == ["m1"]


def in_order(flaky: FlakyDatabase, clocks: Clocks, number: int) -> list[Hands]:
    """Makes forwarders to a destination that takes each sender's messages in order, and that a 410 disables."""
    made = [Hands(flaky, clocks, [declared("shop", PushOrder.SENDER, On410.DISABLE)]) for _ in range(number)]
    made[0].forwarder.register()
    return made


def put_off(hands: Hands) -> None:
    """Has a forwarder take what comes next and put it off, since another sender's message disables the destination."""
    store_of(hands.database, "+492", "unwanted")
    hands.forwarder.cycle()
    assert push(hands, Answer.GONE) == ["unwanted"]
    hands.forwarder.cycle()  # it records that the destination is disabled
    hands.forwarder.cycle()  # it records what has to wait for that


def resume_and_push(hands: Hands) -> list[str]:
    """Has a forwarder push all that there is, and returns the IDs of the messages that were wanted."""
    Destinations(hands.database, {}).resume("shop")
    pushed: list[str] = []
    for _ in range(AHEAD):
        hands.forwarder.cycle()
        pushed += push(hands, Answer.TAKEN)
    return [each for each in pushed if each != "unwanted"]
