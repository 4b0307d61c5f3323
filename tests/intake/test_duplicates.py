"""Counting how often each message comes again: beside its delivery, and never in the way of one."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from tests.support.app import application, deliver
from tests.support.commands import call_cli
from tests.support.consumers import store
from tests.support.deliveries import SECRET, payload
from tests.support.processes import environment
from tests.support.whatsapp import a_message, a_value, of_values, post
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.domain.messages import Duplicates
from webhook_service.domain.results import Result
from webhook_service.domain.secrets import Secrets
from webhook_service.domain.verdicts import Verdict
from webhook_service.intake import activity as module
from webhook_service.intake.activity import DUPLICATES_AT_A_TIME, ActivityRecorder
from webhook_service.intake.take_in import INTAKE
from webhook_service.storage.database import Database
from webhook_service.storage.models import DuplicatesRow
from webhook_service.storage.queries.duplicates import add_duplicates, read_duplicates
from webhook_service.storage.queries.messages import find_message
from webhook_service.storage.writing import Transaction


def again(*message_ids: str) -> Verdict:
    """The verdict on a delivery of messages that were all stored already."""
    return Verdict("native", "native", Result.DUPLICATE, is_accepted=True, duplicates=message_ids)


def duplicates_of(database: Database, message_id: str) -> Duplicates:
    with database.snapshot() as snapshot:
        message = find_message(snapshot, message_id)
        assert message is not None
        return read_duplicates(snapshot, message.id)


def counted(database: Database) -> tuple[int, int]:
    """The number of messages with duplicates, and of those duplicates."""
    with database.snapshot() as snapshot:
        rows, total = snapshot.execute(select(func.count(), func.sum(DuplicatesRow.count))).one()
    return int(rows), int(total or 0)


def shown(client: FlaskClient, message_id: str) -> Any:
    client.application.extensions[INTAKE].activity.stop()
    return client.get(f"/messages/{message_id}").get_json()["duplicates"]


def away(_database: Database, _patience: float | None = None) -> NoReturn:
    raise StorageUnavailable("away")


def test_a_message_says_how_often_it_came_again(database_url: str) -> None:
    begun = datetime.now(UTC)
    content = payload(message_id="m1")
    with application(database_url) as client:
        for _ in range(3):
            deliver(client, content)
        deliver(client, payload(message_id="m2"))

        assert shown(client, "m2") == {"count": 0, "last_at": None}
        assert shown(client, "m1")["count"] == 2
        assert begun <= datetime.fromisoformat(shown(client, "m1")["last_at"]) <= datetime.now(UTC)


def test_each_message_of_a_batch_that_comes_again_is_counted(database_url: str) -> None:
    secrets, options = {"whatsapp": Secrets(SECRET)}, {"whatsapp": {"WHATSAPP_VERIFY_TOKEN": "token"}}
    with application(database_url, provider_secrets=secrets, provider_options=options) as client:
        for ids in ("abb", "bca"):
            post(client, of_values(a_value(messages=[a_message(each) for each in ids])))

        assert [shown(client, each)["count"] for each in "abc"] == [1, 2, 0]


def test_what_is_no_duplicate_is_not_counted_as_one(database_url: str) -> None:
    with application(database_url) as client:
        deliver(client, payload(message_id="m1", text="one"))
        deliver(client, payload(message_id="m1", text="another"))
        client.post("/quarantine/1/replay")

        assert shown(client, "m1") == {"count": 0, "last_at": None}


def test_the_counts_of_all_workers_add_up(database: Database) -> None:
    store(database, "m1", "m2")
    workers = [ActivityRecorder(database) for _ in range(3)]
    for number, worker in enumerate(workers, start=1):
        for _ in range(number):
            worker.count([again("m1", "m2"), again("m1")])
    for worker in workers:
        worker.stop()

    assert (duplicates_of(database, "m1").count, duplicates_of(database, "m2").count) == (12, 6)


def test_the_latest_time_stays_whichever_worker_writes_last(database: Database) -> None:
    store(database, "m1")
    early, late = ActivityRecorder(database), ActivityRecorder(database)
    early.count([again("m1")])
    between = datetime.now(UTC)
    late.count([again("m1")])
    late.stop()
    early.stop()

    last_at = duplicates_of(database, "m1").last_at
    assert last_at is not None
    assert last_at > between


def test_a_storm_of_duplicates_is_written_down_in_short_transactions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"m{number}" for number in range(2 * DUPLICATES_AT_A_TIME + 1)]
    store(database, *ids)
    written: list[int] = []

    def add(transaction: Transaction, duplicates: Mapping[str, Duplicates]) -> None:
        written.append(len(duplicates))
        add_duplicates(transaction, duplicates)

    monkeypatch.setattr(module, "add_duplicates", add)
    recorder = ActivityRecorder(database)
    recorder.count([again(*ids), again(*ids)])
    recorder.stop()

    assert counted(database) == (len(ids), 2 * len(ids))
    assert sorted(written) == [1, DUPLICATES_AT_A_TIME, DUPLICATES_AT_A_TIME]


def test_duplicates_of_too_many_messages_are_logged_as_uncounted(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "DUPLICATES_MOST", 2)
    store(database, "a", "b", "c")
    recorder = ActivityRecorder(database)
    with caplog.at_level(logging.WARNING):
        recorder.count([again("a", "b", "c"), again("a", "c")])
        recorder.stop()

    assert counted(database) == (2, 3)
    assert [vars(record)["fields"] for record in caplog.records] == [{"uncounted": 2}]


def test_counts_wait_for_a_database_that_is_away(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    store(database, "m1")
    recorder = ActivityRecorder(database)
    with monkeypatch.context() as outage:
        outage.setattr(Database, "transaction", away)
        recorder.count([again("m1")])
        recorder.stop()
        recorder.count([again("m1")])
        recorder.stop()
    assert counted(database) == (0, 0)
    recorder.stop()

    assert duplicates_of(database, "m1").count == 2


def test_the_count_goes_with_its_message(database: Database, database_url: str) -> None:
    store(database, "m1", sender="+4915100")
    store(database, "m2")
    recorder = ActivityRecorder(database)
    recorder.count([again("m1"), again("m2")])
    recorder.stop()
    assert counted(database) == (2, 2)

    call_cli("erase", "--number", "+4915100", environ=environment(database_url))

    assert counted(database) == (1, 1)


def test_a_message_that_was_deleted_meanwhile_spoils_no_other_count(database: Database) -> None:
    store(database, "m1")
    recorder = ActivityRecorder(database)
    recorder.count([again("gone", "m1")])
    recorder.stop()

    assert counted(database) == (1, 1)
