"""Destinations that are moved to another place in the feed while messages of theirs wait for another attempt."""

from dataclasses import replace

import pytest

from tests.support.consumers import EVERYTHING, names
from tests.support.hands import LEASE_SECONDS, Answer, Clocks, Hands, declared
from tests.support.pushes import count, dead, store_of
from webhook_service.domain.consumers import BEGINNING, NOW, ConsumerKind, FeedFilter, Start
from webhook_service.domain.destinations import On410, PushOrder
from webhook_service.outlet import availability, recording
from webhook_service.outlet.consumers import Consumers
from webhook_service.outlet.forwarder import CLOSER_LOOK
from webhook_service.storage.database import Database
from webhook_service.storage.destination_models import RetryRow
from webhook_service.storage.queries.retries import list_retries

LATER = 25  # seconds until another attempt
IDLE = 3  # cycles after which a forwarder that has begun no push has nothing to push


@pytest.fixture(autouse=True)
def attempts_that_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "retry_delay", lambda *_: LATER)


def forwarder(database: Database, clocks: Clocks, wanted: FeedFilter = EVERYTHING) -> Hands:
    """A forwarder to a destination that takes each sender's messages in order."""
    made = Hands(database, clocks, [replace(declared("shop", PushOrder.SENDER, On410.RETRY), filter=wanted)])
    made.forwarder.register()
    return made


def push(hands: Hands, *broken: str) -> list[str]:
    """Makes all pushes that may be made now, of which some fail, and returns the IDs of the messages."""
    pushed: list[str] = []
    idle = 0
    while idle < IDLE:
        hands.forwarder.cycle()
        hands.clocks.sleep(CLOSER_LOOK)
        idle += 1
        while (begun := hands.begin("shop")) is not None:
            answer = Answer.BROKEN if begun.message_id in broken else Answer.TAKEN
            hands.finish(begun, answer.attempt(hands.clocks.now))
            pushed.append(begun.message_id)
            idle = 0
    return pushed


def seek(database: Database, start: Start) -> None:
    Consumers(database, ConsumerKind.DESTINATION).seek("shop", start)


def waiting(database: Database) -> list[str]:
    with database.primary_snapshot() as snapshot:
        return [each.message_id for each in list_retries(snapshot, 1, 100)]


def test_what_waits_after_the_new_place_is_pushed_once_and_in_order(database: Database, clocks: Clocks) -> None:
    hands = forwarder(database, clocks)
    store_of(database, "+491", *names(1, 4))
    assert push(hands, "m2") == ["m1", "m2"]
    assert waiting(database) == ["m2", "m3", "m4"]

    seek(database, BEGINNING)
    clocks.sleep(LATER)

    assert push(hands) == names(1, 4)
    assert count(database, RetryRow) == 0


def test_a_move_back_leaves_what_waits_before_the_new_place(database: Database, clocks: Clocks) -> None:
    hands = forwarder(database, clocks)
    store_of(database, "+491", *names(1, 5))
    assert push(hands, "m2") == ["m1", "m2"]

    seek(database, "m4")

    assert waiting(database) == ["m2", "m3"]
    assert push(hands) == []
    assert waiting(database) == names(2, 5)
    clocks.sleep(LATER)
    assert push(hands) == names(2, 5)


def test_a_move_forward_passes_over_what_waits(database: Database, clocks: Clocks) -> None:
    hands = forwarder(database, clocks)
    store_of(database, "+491", *names(1, 3))
    assert push(hands, "m2") == ["m1", "m2"]

    seek(database, NOW)
    store_of(database, "+491", "m4")
    clocks.sleep(LATER)

    assert push(hands) == ["m4"]
    assert (count(database, RetryRow), dead(database)) == (0, [])


@pytest.mark.parametrize("start", [BEGINNING, NOW], ids=["back", "forward"])
def test_a_forwarder_stops_pushing_what_it_had_taken_for_another_attempt(
    start: Start, database: Database, clocks: Clocks
) -> None:
    hands = forwarder(database, clocks)
    store_of(database, "+491", *names(1, 4))
    assert push(hands, "m1") == ["m1"]
    clocks.sleep(LATER)
    hands.forwarder.cycle()  # it has all four in hand

    seek(database, start)
    clocks.sleep(1)
    hands.forwarder.cycle()

    assert push(hands) == (names(1, 4) if start is BEGINNING else [])
    assert count(database, RetryRow) == 0


@pytest.mark.parametrize("answer", [Answer.TAKEN, Answer.BROKEN, Answer.GONE])
def test_an_attempt_that_was_under_way_leaves_nothing_behind(
    answer: Answer, database: Database, clocks: Clocks
) -> None:
    hands = forwarder(database, clocks)
    store_of(database, "+491", "m1", "m2")
    assert push(hands, "m1") == ["m1"]
    clocks.sleep(LATER)
    hands.forwarder.cycle()
    under_way = hands.begin("shop")
    assert under_way is not None
    clocks.sleep(60)  # its last attempt, as far as its time goes

    seek(database, NOW)
    hands.finish(under_way, answer.attempt(clocks.now))
    hands.forwarder.cycle()

    assert (count(database, RetryRow), dead(database)) == (0, [])
    clocks.sleep(LEASE_SECONDS)
    assert push(hands) == []


def test_a_move_back_while_a_forwarder_looks_ahead_loses_nothing(
    database: Database, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(availability, "WORTH_NOTING", 1)
    hands = forwarder(database, clocks, FeedFilter(sender="+491"))
    store_of(database, "+491", "m1")
    assert push(hands) == ["m1"]
    store_of(database, "+492", *names(2, 4))
    write = hands.forwarder._write

    def seek_and_write(plans: object) -> object:
        seek(database, BEGINNING)
        return write(plans)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(type(hands.forwarder), "_write", lambda _self, plans: seek_and_write(plans))
        hands.forwarder.cycle()

    assert push(hands) == ["m1"]
