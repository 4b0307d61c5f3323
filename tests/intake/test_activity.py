"""Counting what becomes of deliveries: by source, hour and outcome, and never in their way."""

from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import NoReturn

import pytest
from flask.testing import FlaskClient

from tests.support.app import application, deliver
from tests.support.deliveries import payload, signed, to_bytes
from tests.support.server import Server
from tests.support.stored import opened
from tests.support.waiting import wait_until
from webhook_service.domain.activity import Activity, DeliveryOutcome, SourceActivity
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.domain.results import Reason, Result
from webhook_service.domain.verdicts import Verdict
from webhook_service.intake.activity import ActivityRecorder
from webhook_service.intake.take_in import INTAKE
from webhook_service.storage.database import Database
from webhook_service.storage.queries.activity import add_activity, read_latest, read_refusals, read_sources

DAY = timedelta(days=1)
HOUR = datetime(2025, 1, 15, 10, tzinfo=UTC)
CREATED = Verdict("native", "native", Result.CREATED, is_accepted=True)


def counts(database: Database) -> dict[str, int]:
    """The native source's deliveries by outcome, as they are on disk."""
    now = datetime.now(UTC)
    with database.snapshot() as snapshot:
        found = read_sources(snapshot, now - DAY, now + DAY).get("native", SourceActivity())
    return {outcome.value: number for outcome, number in found.counts.items()}


def stop_counting(client: FlaskClient) -> None:
    client.application.extensions[INTAKE].activity.stop()


def test_each_delivery_has_one_outcome(database_url: str) -> None:
    content = payload(message_id="m1")
    with application(database_url, max_body_bytes=2000) as client, opened(database_url) as database:
        for _ in range(3):
            deliver(client, content)
        deliver(client, {**content, "text": "another"})
        deliver(client, {"message_id": "bad"})
        client.post("/webhook", data=b"{}")
        deliver(client, b"x" * 3000)
        client.post("/quarantine/2/replay")
        stop_counting(client)

        assert counts(database) == {"created": 1, "duplicate": 2, "conflict": 1, "quarantined": 1, "refused": 2}


def test_the_reason_and_the_hint_of_a_refused_delivery_are_kept(database_url: str) -> None:
    raw = to_bytes(payload())
    with application(database_url) as client, opened(database_url) as database:
        client.post("/webhook", data=raw, headers=signed(raw + b"\n"))

        def refusals() -> list[Activity]:
            with database.snapshot() as snapshot:
                return [each for each in read_refusals(snapshot, 10) if each.last_hint]

        wait_until(lambda: bool(refusals()), "the hint")
        (refused,) = refusals()

    told = (refused.source, refused.count, refused.last_reason, refused.last_hint)
    assert told == ("native", 1, "wrong_signature", "trailing_newline")


@pytest.mark.parametrize(
    ("later", "reason", "hint"),
    [
        ((None, None), "wrong_signature", "trailing_newline"),
        (("wrong_signature", None), "wrong_signature", "trailing_newline"),
        (("missing_signature", None), "missing_signature", None),
        (("wrong_signature", "clock_skew +9 s"), "wrong_signature", "clock_skew +9 s"),
    ],
)
def test_a_hint_stays_as_long_as_the_reason_does(
    later: tuple[str | None, str | None], reason: str, hint: str | None, database: Database
) -> None:
    def activity(at: int, *told: str | None) -> Activity:
        return Activity("s", DeliveryOutcome.REFUSED, HOUR, 1, HOUR + timedelta(minutes=at), *told)

    for each in (activity(1, "wrong_signature", "trailing_newline"), activity(2, *later)):
        with database.transaction() as transaction:
            add_activity(transaction, [each])
    in_memory = activity(1, "wrong_signature", "trailing_newline")
    in_memory.add(activity(2, *later))

    with database.snapshot() as snapshot:
        stored = read_latest(snapshot, "s", DeliveryOutcome.REFUSED)
    expected = Activity("s", DeliveryOutcome.REFUSED, HOUR, 2, HOUR + timedelta(minutes=2), reason, hint)
    assert stored == in_memory == expected


def test_what_can_not_be_written_is_kept_and_written_later(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_database: Database, _patience: float | None = None) -> NoReturn:
        raise StorageUnavailable("away")

    recorder = ActivityRecorder(database)
    with monkeypatch.context() as outage:
        outage.setattr(Database, "transaction", away)
        recorder.count([CREATED])
        recorder.stop()
        recorder.count([CREATED])
        recorder.stop()
    assert counts(database) == {}
    recorder.stop()

    assert counts(database) == {"created": 2}


def test_counting_waits_for_no_writer(database: Database) -> None:
    recorder = ActivityRecorder(database)
    with database.turn_to_write():
        begun = monotonic()
        for _ in range(1000):
            recorder.count(
                [CREATED, Verdict("native", "native", Result.INVALID_SIGNATURE, reason=Reason.WRONG_SIGNATURE)]
            )
        took = monotonic() - begun
    recorder.stop()

    assert took < 5
    assert counts(database) == {"created": 1000, "refused": 1000}


def test_a_server_that_stops_leaves_nothing_uncounted(sqlite_url: str) -> None:
    with Server(sqlite_url, WEB_CONCURRENCY="2") as server, opened(sqlite_url) as database:
        for _ in range(40):
            assert server.deliver(payload()).status == 200
        server.terminate()
        server.wait()

        assert counts(database) == {"created": 40}
