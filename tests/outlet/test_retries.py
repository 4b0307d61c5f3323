"""Messages that wait for another attempt, and those of the same sender behind them."""

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Event, Thread

import pytest
from sqlalchemy import delete, select

from tests.support.consumers import names
from tests.support.forwarding_destinations import destination, forwarding
from tests.support.pushes import BROKEN, count, health, refuse, store_of
from tests.support.receivers import Answer, Received, Receiver, accept, answer
from tests.support.waiting import wait_until
from webhook_service.domain.destinations import PushOrder, Retries
from webhook_service.outlet import forwarder
from webhook_service.outlet.forwarder import Forwarder
from webhook_service.storage.clock import read_now
from webhook_service.storage.database import Database
from webhook_service.storage.destination_models import RetryRow
from webhook_service.storage.models import MessageRow

LATER = Retries(first=3600, longest=3600)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def forget(database: Database, message_id: str) -> None:
    """Deletes a message, as prune and erase do."""
    with database.transaction() as transaction:
        transaction.execute(delete(MessageRow).where(MessageRow.message_id == message_id))


def turn_until(forwarder: Forwarder, condition: Callable[[], bool]) -> None:
    """Lets a forwarder take its turns."""

    def cycle() -> bool:
        forwarder.cycle()
        return condition()

    wait_until(cycle, "the forwarder")


def is_pushing(forwarder: Forwarder) -> bool:
    return any(work.threads.jobs for work in forwarder._all_work)


def is_any_taken(database: Database) -> bool:
    with database.primary_snapshot() as snapshot:
        return snapshot.scalars(select(RetryRow.id).where(RetryRow.taken_until.is_not(None))).first() is not None


def test_a_sender_goes_on_when_the_first_of_its_messages_that_wait_is_deleted(
    database: Database, receiver: Receiver
) -> None:
    receiver.answer = refuse("m1")
    store_of(database, "+491", "m1", "m2", "m3")
    with forwarding(database, destination(receiver, retries=LATER)):
        wait_until(lambda: count(database, RetryRow) == 3, "all to wait")
        forget(database, "m1")
        wait_until(lambda: receiver.ids() == names(1, 3), "those behind it")
        store_of(database, "+491", "m4")
        wait_until(lambda: receiver.ids() == names(1, 4), "a new message")


def test_a_sender_goes_on_when_its_message_is_deleted_while_it_is_pushed(
    database: Database, receiver: Receiver
) -> None:
    is_deleted = Event()

    def fail_once_it_is_deleted(received: Received, connection: socket.socket) -> None:
        is_deleted.wait()
        (BROKEN if received.headers["webhook-id"] == "m1" else accept)(received, connection)

    receiver.answer = fail_once_it_is_deleted
    store_of(database, "+491", "m1", "m2", "m3")
    with forwarding(database, destination(receiver, retries=LATER)):
        wait_until(lambda: bool(receiver.received), "the push")
        forget(database, "m1")
        is_deleted.set()
        wait_until(lambda: receiver.ids() == names(1, 3), "those behind it")


@pytest.mark.parametrize("first_answer", [accept, BROKEN], ids=["taken", "failed"])
def test_what_a_stopping_forwarder_gives_back_waits_for_what_it_is_pushing(
    first_answer: Answer, database: Database, receiver: Receiver
) -> None:
    goes_on, stop = Event(), Event()

    def answer_once_it_may(received: Received, connection: socket.socket) -> None:
        if len(receiver.received) == 1:
            goes_on.wait()
            first_answer(received, connection)
        else:
            accept(received, connection)

    receiver.answer = answer_once_it_may
    store_of(database, "+491", *names(1, 3))
    stopping, other = (Forwarder(database, [destination(receiver)]) for _ in range(2))
    stopping.register()
    thread = Thread(target=stopping.run, args=(stop,))
    thread.start()
    wait_until(lambda: bool(receiver.received), "the push")
    stop.set()
    wait_until(lambda: count(database, RetryRow) == 2, "the others to be given back")
    turn_until(other, lambda: is_any_taken(database))
    turn_until(other, lambda: not is_pushing(other))
    assert receiver.ids() == ["m1"]
    goes_on.set()
    thread.join()
    turn_until(other, lambda: count(database, RetryRow) == 0)

    assert receiver.ids() == (names(1, 3) if first_answer is accept else ["m1", *names(1, 3)])


def test_a_retry_that_takes_longer_than_a_lease_is_pushed_once(database: Database, receiver: Receiver) -> None:
    def fail_and_then_be_slow(received: Received, connection: socket.socket) -> None:
        if len(receiver.received) == 1:
            BROKEN(received, connection)
        else:
            Event().wait(2)  # far longer than the lease, and than others take to look whether it has ended
            accept(received, connection)

    receiver.answer = fail_and_then_be_slow
    store_of(database, "+491", "m1")
    slow = destination(receiver, order=PushOrder.NONE)
    with forwarding(database, slow, lease_seconds=0.3), forwarding(database, slow, lease_seconds=0.3):
        wait_until(lambda: len(receiver.received) > 1 and count(database, RetryRow) == 0, "the message to be taken")

    assert receiver.ids() == ["m1", "m1"]


def test_a_clock_that_was_ahead_and_is_set_back_holds_nothing_up(
    database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.answer = answer(429, Retry_After="5")
    store_of(database, "+491", "m1")
    limited = destination(receiver, rate=10.0)
    with monkeypatch.context() as clock:
        clock.setattr(forwarder, "read_now", lambda transaction: read_now(transaction) + timedelta(hours=3))
        with forwarding(database, limited):
            wait_until(lambda: count(database, RetryRow) == 1, "the failure")
    receiver.answer = accept
    store_of(database, "+492", "m2")
    with forwarding(database, limited):
        wait_until(lambda: health(database).pushed == 2, "both messages")

    shown = health(database)
    assert shown.held_until is not None
    assert shown.held_until > datetime.now(UTC) + timedelta(hours=2)
    assert count(database, RetryRow) == 0
