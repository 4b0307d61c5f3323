"""What a forwarder makes of destinations that take messages, and of those that don't."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.support.consumers import names, store
from tests.support.forwarding_destinations import destination, forwarding
from tests.support.pushes import count, dead, expire_leases, health, place, refuse, store_of
from tests.support.receivers import Receiver, accept, answer, hang
from tests.support.waiting import wait_until
from webhook_service.domain.consumers import NOW, ConsumerKind, FeedFilter
from webhook_service.domain.destinations import DestinationState, Failure, On410, PushOrder, Retries, Timeouts
from webhook_service.outlet import backoff
from webhook_service.outlet.dead_letters import DeadLetters
from webhook_service.outlet.forwarder import Forwarder
from webhook_service.storage.consumer_models import StretchRow
from webhook_service.storage.database import Database
from webhook_service.storage.destination_models import RetryRow


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paused destinations are probed soon."""
    monkeypatch.setattr(backoff, "FIRST_PROBE", 0.1)
    monkeypatch.setattr(backoff, "LONGEST_PROBE", 0.2)


def test_a_destination_gets_every_message_and_those_that_come_later(database: Database, receiver: Receiver) -> None:
    store(database, *names(1, 250))
    with forwarding(database, destination(receiver)):
        wait_until(lambda: len(receiver.received) == 250, "the messages that were there")
        store(database, "m251")
        wait_until(lambda: len(receiver.received) == 251, "the message that came later")

    assert sorted(receiver.ids()) == sorted(names(1, 251))
    assert count(database, StretchRow) == count(database, RetryRow) == 0
    assert (place(database), health(database).pushed, health(database).failed) == (251, 251, 0)


def test_a_new_destination_begins_where_it_should(database: Database, receiver: Receiver) -> None:
    store(database, "m1")
    with forwarding(database, destination(receiver, start=NOW)):
        store(database, "m2")
        wait_until(lambda: bool(receiver.received), "the message")
    with forwarding(database, destination(receiver, start=NOW)):
        store(database, "m3")
        wait_until(lambda: len(receiver.received) == 2, "the next message")

    assert receiver.ids() == ["m2", "m3"]


def test_a_destination_gets_what_passes_its_filter(database: Database, receiver: Receiver) -> None:
    store_of(database, "+491", *names(1, 30))
    store_of(database, "+492", "wanted")
    with forwarding(database, destination(receiver, filter=FeedFilter(sender="+492"))):
        wait_until(lambda: bool(receiver.received), "the message")

    assert receiver.ids() == ["wanted"]


def test_each_senders_messages_come_in_order_although_many_are_pushed_at_once(
    database: Database, receiver: Receiver
) -> None:
    for number in range(60):
        store_of(database, f"+49{number % 6}", f"m{number:02}")
    with forwarding(database, destination(receiver)):
        wait_until(lambda: len(receiver.received) == 60, "all messages")

    by_sender = defaultdict(list)
    for message_id in receiver.ids():
        by_sender[int(message_id[1:]) % 6].append(message_id)
    assert all(ids == sorted(ids) for ids in by_sender.values())
    assert len({received.connection for received in receiver.received}) > 1


def test_a_message_that_fails_is_tried_again_and_those_of_its_sender_queue_behind_it(
    database: Database, receiver: Receiver
) -> None:
    receiver.answer = refuse("m2")
    store_of(database, "+491", "m1", "m2", "m3")
    store_of(database, "+492", "other")
    with forwarding(database, destination(receiver)):
        wait_until(lambda: receiver.ids().count("m2") >= 3 and "other" in receiver.ids(), "attempts")
        wait_until(lambda: place(database) == 4, "the stretch to be complete")
        assert "m3" not in receiver.ids()
        receiver.answer = accept
        wait_until(lambda: "m3" in receiver.ids(), "the sender's next message")
        store_of(database, "+491", "m4")
        wait_until(lambda: "m4" in receiver.ids(), "a new message")

    assert receiver.ids().index("m3") > len(receiver.ids()) - 1 - receiver.ids()[::-1].index("m2")
    assert count(database, RetryRow) == 0


def test_without_an_order_a_failure_holds_up_nothing(database: Database, receiver: Receiver) -> None:
    receiver.answer = refuse("m1")
    store_of(database, "+491", *names(1, 5))
    with forwarding(database, destination(receiver, order=PushOrder.NONE, retries=Retries(first=60))):
        wait_until(lambda: len(set(receiver.ids())) == 5, "the others")

    assert count(database, RetryRow) == 1


def test_a_message_that_fails_for_too_long_becomes_a_dead_letter_with_its_attempts(
    database: Database, receiver: Receiver
) -> None:
    receiver.answer = refuse("m1")
    store_of(database, "+491", "m1", "m2")
    brief = Retries(first=0.05, longest=0.05, total=0.3)
    with forwarding(database, destination(receiver, retries=brief)):
        wait_until(lambda: bool(dead(database)), "the dead letter")
        wait_until(lambda: "m2" in receiver.ids(), "the message behind it")

    (letter,) = dead(database)
    assert (letter.kind, letter.consumer, letter.message.message_id) == (ConsumerKind.DESTINATION, "shop", "m1")
    assert letter.reason == "answered 500"
    assert len(letter.attempts) == receiver.ids().count("m1") > 1
    first = letter.attempts[0]
    assert (first["status"], first["failure"], first["answer"]) == (500, Failure.STATUS, "broken")
    assert first["at"].endswith("Z")


def test_a_dead_letter_that_is_retried_is_pushed_again(database: Database, receiver: Receiver) -> None:
    receiver.answer = refuse("m1")
    store(database, "m1")
    with forwarding(database, destination(receiver, retries=Retries(first=0.05, longest=0.05, total=0.1))):
        wait_until(lambda: bool(dead(database)), "the dead letter")
        receiver.answer = accept
        assert DeadLetters(database).retry(dead(database)[0].id)
        wait_until(lambda: health(database).pushed == 1, "the message to be taken")

    assert dead(database) == []
    assert count(database, StretchRow) == 0


def test_a_destination_that_fails_is_paused_and_probed_and_holds_up_no_other(database: Database) -> None:
    with Receiver(answer(503)) as failing, Receiver() as good:
        for number in range(300):
            store_of(database, f"+49{number}", f"m{number}")
        with forwarding(database, destination(failing, "failing"), destination(good, "good")):
            wait_until(lambda: len(good.received) == 300, "the good one")
            wait_until(lambda: health(database, "failing").probes >= 2, "probes")
            state = health(database, "failing").state
            assert (state, health(database, "good").state) == (DestinationState.PAUSED, DestinationState.ACTIVE)
            assert len(failing.received) < 60
            failing.answer = accept
            wait_until(lambda: len(set(failing.ids())) == 300, "all messages once it is back")
            wait_until(lambda: health(database, "failing").state is DestinationState.ACTIVE, "it to be active")
            wait_until(lambda: count(database, RetryRow) == 0, "no message to wait")


def test_a_destination_that_is_gone_is_disabled(database: Database, receiver: Receiver) -> None:
    receiver.answer = answer(410)
    store(database, *names(1, 3))
    with forwarding(database, destination(receiver)):
        wait_until(lambda: health(database).state is DestinationState.DISABLED, "it to be disabled")

    assert (len(receiver.received), dead(database)) == (1, [])
    assert (health(database).last_status, health(database).last_failure) == (410, Failure.STATUS)


def test_a_410_may_mean_that_the_message_is_not_wanted(database: Database, receiver: Receiver) -> None:
    receiver.answer = refuse("m1", with_=answer(410))
    store_of(database, "+491", "m1", "m2")
    with forwarding(database, destination(receiver, on_410=On410.DEAD)):
        wait_until(lambda: receiver.ids() == ["m1", "m2"], "both")
        wait_until(lambda: bool(dead(database)), "the dead letter")

    assert [letter.message.message_id for letter in dead(database)] == ["m1"]


def test_messages_that_a_receiver_refuses_do_not_keep_those_of_others_from_it(
    database: Database, receiver: Receiver
) -> None:
    receiver.answer = refuse(*names(1, 12), with_=answer(400))
    for number in range(1, 13):
        store_of(database, f"+49{number}", f"m{number}")
    with forwarding(database, destination(receiver)):
        wait_until(lambda: health(database).state is DestinationState.PAUSED, "it to be paused")
        store_of(database, "+491", *(f"behind{number}" for number in range(20)))
        for number in range(13, 51):
            store_of(database, f"+49{number}", f"m{number}")
        wait_until(lambda: set(names(13, 50)) <= set(receiver.ids()), "the others")
        state = health(database)

    assert state.state is DestinationState.ACTIVE
    assert count(database, RetryRow) == 32
    assert not [each for each in receiver.ids() if each.startswith("behind")]


def test_retry_after_holds_the_destination(database: Database, receiver: Receiver) -> None:
    receiver.answer = answer(429, Retry_After="2")
    store_of(database, "+491", "m1")
    store_of(database, "+492", "m2")
    with forwarding(database, destination(receiver, concurrency=1)):
        wait_until(lambda: health(database).held_until is not None, "it to be held")
        receiver.answer = accept
        wait_until(lambda: health(database).pushed == 2, "both messages")

    first, *others = receiver.received
    assert min(received.at for received in others if received.headers["webhook-id"] == "m1") - first.at > 1.9
    held = health(database).held_until
    assert held is not None
    assert held - timedelta(seconds=3) < health(database).last_failed_at  # type: ignore[operator]


def test_a_rate_is_shared_by_all_forwarders(database: Database, receiver: Receiver) -> None:
    for number in range(30):
        store_of(database, f"+49{number}", f"m{number}")
    slow = destination(receiver, rate=20.0)
    begun = time.monotonic()
    with forwarding(database, slow), forwarding(database, slow):
        wait_until(lambda: len(receiver.received) == 30, "all messages")

    # On a busy machine any of them may come late, but none comes too early.
    assert receiver.received[-1].at - begun > 29 / 20


def test_several_forwarders_share_the_work_and_keep_each_senders_order(database: Database, receiver: Receiver) -> None:
    def answer_slowly(received: Any, connection: Any) -> None:
        threading.Event().wait(0.005)
        accept(received, connection)

    receiver.answer = answer_slowly
    for number in range(400):
        store_of(database, f"+49{number % 20}", f"m{number:03}")
    one = destination(receiver, concurrency=4)
    with forwarding(database, one), forwarding(database, one), forwarding(database, one):
        wait_until(lambda: len(set(receiver.ids())) == 400, "all messages")

    assert len(receiver.received) == 400
    by_sender = defaultdict(list)
    for message_id in receiver.ids():
        by_sender[int(message_id[1:]) % 20].append(message_id)
    assert all(ids == sorted(ids) for ids in by_sender.values())


def test_a_forwarder_takes_over_from_one_that_died_and_keeps_the_order(database: Database, receiver: Receiver) -> None:
    store_of(database, "+491", *names(1, 20))
    receiver.answer = hang
    target = destination(receiver, timeouts=Timeouts(connect=0.3, total=0.3))
    dying = Forwarder(database, [target])
    dying.register()
    dying.cycle()  # it takes a stretch, and is never heard of again
    store_of(database, "+491", *names(21, 40))
    wait_until(lambda: bool(receiver.received), "the first push")
    receiver.answer = accept
    before = len(receiver.received)
    expire_leases(database)
    with forwarding(database, target):
        wait_until(lambda: set(names(1, 40)) <= set(receiver.ids()), "all messages")
        wait_until(lambda: place(database) == 40, "the place")

    after = [each for each in receiver.ids()[before:] if each != "m1"]
    assert sorted(after, key=lambda each: int(each[1:])) == after
    assert place(database) == 40


def test_a_forwarder_that_stops_records_what_was_under_way(database: Database, receiver: Receiver) -> None:
    store_of(database, "+491", *names(1, 50))

    def answer_slowly(received: Any, connection: Any) -> None:
        threading.Event().wait(0.1)
        accept(received, connection)

    receiver.answer = answer_slowly
    with forwarding(database, destination(receiver)):
        wait_until(lambda: len(receiver.received) >= 2, "a push")
    pushed = len(receiver.received)

    assert health(database).pushed == pushed < 50
    assert count(database, StretchRow) == 0
    receiver.answer = accept
    with forwarding(database, destination(receiver)):
        wait_until(lambda: len(receiver.received) == 50, "the others")

    assert receiver.ids() == names(1, 50)


def test_what_a_dead_forwarder_left_is_taken_even_by_those_whose_hands_are_full(
    database: Database, receiver: Receiver
) -> None:
    target = destination(receiver)
    dying = Forwarder(database, [target])
    dying.register()
    store_of(database, "+491", *names(1, 20))
    receiver.answer = hang
    dying.cycle()  # it takes a stretch, and is never heard of again
    store_of(database, "+491", *names(21, 500))
    receiver.answer = accept
    with forwarding(database, target), forwarding(database, target):
        wait_until(lambda: count(database, StretchRow) == 3, "the hands of both to be full")
        expire_leases(database)
        wait_until(lambda: set(names(1, 500)) <= set(receiver.ids()), "all messages")

    came = list(dict.fromkeys(receiver.ids()))
    assert came == names(1, 500)


def test_what_queued_behind_a_failure_is_caught_up_with_at_the_usual_pace(
    database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.answer = refuse("m1")
    store_of(database, "+491", *names(1, 300))
    turns: list[int] = []
    cycle = Forwarder.cycle

    def count_and_cycle(forwarder: Forwarder) -> None:
        turns.append(1)
        cycle(forwarder)

    monkeypatch.setattr(Forwarder, "cycle", count_and_cycle)
    with forwarding(database, destination(receiver)):
        wait_until(lambda: count(database, RetryRow) == 300, "all to queue behind the first")
        turns.clear()
        receiver.answer = accept
        wait_until(lambda: count(database, RetryRow) == 0, "all to be taken")
        needed = len(turns)

    assert list(dict.fromkeys(receiver.ids())) == names(1, 300)
    assert needed < 200  # many in a turn
