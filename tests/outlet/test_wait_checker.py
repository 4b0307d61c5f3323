"""The lookout: which questions of waiting readers have an answer, and that no other source wakes a source's reader."""

import pytest
from sqlalchemy import delete

from tests.support.consumers import store
from webhook_service.outlet import newest_by_source as arrivals
from webhook_service.outlet.wait_checker import AfterMessage, WaitChecker, WaitCondition
from webhook_service.storage.database import Database
from webhook_service.storage.models import MessageRow
from webhook_service.storage.queries.messages import mark_as_test, newest_place


def newest(database: Database) -> int:
    with database.snapshot() as snapshot:
        return newest_place(snapshot)


def after(place: int, *sources: str) -> set[WaitCondition]:
    return {AfterMessage(place, source=source) for source in sources}


@pytest.fixture
def wait_checker(database: Database) -> WaitChecker:
    """A lookout that has followed the feed to its end, where one message of each of two sources is stored."""
    store(database, "of-busy", source="busy")
    store(database, "of-quiet", source="quiet")
    made = WaitChecker(database)
    assert made.find_met(after(newest(database), "busy", "quiet")) == set()
    return made


def test_a_message_answers_the_readers_of_its_source_alone(database: Database, wait_checker: WaitChecker) -> None:
    place = newest(database)
    store(database, "m1", "m2", source="busy")

    answered = wait_checker.find_met(after(place, "busy", "quiet") | {AfterMessage(place)})

    assert answered == after(place, "busy") | {AfterMessage(place)}
    assert wait_checker.find_met(after(newest(database), "busy", "quiet")) == set()


def test_a_reader_that_comes_later_hears_of_what_was_noticed_before(
    database: Database, wait_checker: WaitChecker
) -> None:
    place = newest(database)
    store(database, "m1", source="quiet")
    store(database, "m2", source="busy")
    assert wait_checker.find_met(after(newest(database), "quiet")) == set()

    assert wait_checker.find_met(after(place, "quiet")) == after(place, "quiet")
    assert wait_checker.find_met(after(place + 1, "quiet")) == set()


def test_a_reader_at_a_place_from_before_the_lookout_is_let_read(database: Database) -> None:
    store(database, "m1", source="busy")
    wait_checker = WaitChecker(database)

    assert wait_checker.find_met(after(0, "quiet")) == after(0, "quiet")


def test_a_lookout_that_fell_far_behind_begins_anew(
    database: Database, wait_checker: WaitChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "MOST_BEHIND", 2)
    place = newest(database)
    store(database, "m1", "m2", "m3", source="busy")

    assert wait_checker.find_met(after(place, "quiet")) == after(place, "quiet")
    place = newest(database)
    store(database, "m4", source="busy")
    assert wait_checker.find_met(after(place, "quiet", "busy")) == after(place, "busy")


def test_waiting_goes_on_over_a_restored_database(database: Database, wait_checker: WaitChecker) -> None:
    with database.transaction() as transaction:
        transaction.execute(delete(MessageRow).where(MessageRow.message_id == "of-quiet"))
    assert wait_checker.find_met(after(0, "quiet")) == after(0, "quiet")

    place = newest(database)
    store(database, "m1", source="quiet")

    assert wait_checker.find_met(after(place, "quiet", "busy")) == after(place, "quiet")


def test_a_test_message_of_a_source_answers_no_reader(database: Database, wait_checker: WaitChecker) -> None:
    place = newest(database)
    store(database, "test", source="quiet")
    with database.transaction() as transaction:
        mark_as_test(transaction, ["test"])
    store(database, "m1", source="busy")

    assert wait_checker.find_met(after(place, "quiet")) == set()
