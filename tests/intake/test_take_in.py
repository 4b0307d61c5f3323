"""A round of deliveries: one verdict for each, in order, whatever the others are."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from tests.faults.holding import held_turn
from tests.support.deliveries import SECRET, payload, signed, to_bytes
from tests.support.stored import opened, stored_ids
from webhook_service.domain.deliveries import Contents, Delivery
from webhook_service.domain.messages import Message
from webhook_service.domain.results import Outcome, Reason, Result
from webhook_service.domain.secrets import DefaultLabel, Secrets
from webhook_service.intake.take_in import Intake
from webhook_service.intake.wsgi import delivery_in
from webhook_service.providers.base import Provider
from webhook_service.providers.native import Native
from webhook_service.providers.source import Source
from webhook_service.storage.database import Database
from webhook_service.web.logs import JsonFormatter

MAX_BODY = 3 * 2**20


class Headers(dict[str, str]):
    """Headers as a request has them, whatever the case of a name."""

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]  # a Headers' get
        return super().get(name.title(), default)


class Broken(Native):
    """A provider with a bug wherever a delivery says so."""

    name = "broken"

    def verify(self, delivery: Delivery) -> str:
        if b"verify" in delivery.raw:
            raise ZeroDivisionError(delivery.raw)
        if b"diagnose" in delivery.raw:
            return super().verify(delivery)
        return DefaultLabel.CURRENT

    def diagnose(self, delivery: Delivery) -> str | None:
        raise ZeroDivisionError(delivery.raw)

    def parse(self, delivery: Delivery) -> Contents:
        if b"unstorable" in delivery.raw:
            return Contents((message_with({"of a type": object()}),))
        raise ZeroDivisionError(delivery.raw)


def message_with(extra: Mapping[str, object]) -> Message:
    now = datetime.now(UTC)
    return Message("unstorable", "broken", "+1", "+2", now, now, extra=extra)


def delivery(content: object, provider: str = "native", **headers: str) -> Delivery:
    raw = content if isinstance(content, bytes) else to_bytes(content)
    said = Headers({name.replace("_", "-").title(): value for name, value in (headers or signed(raw)).items()})
    return Delivery(provider, raw, said, "/webhook", datetime.now(UTC))


def intake(database: Database) -> Intake:
    providers: list[type[Provider]] = [Native, Broken]
    made = {provider.name: Source(provider.name, provider(Secrets(SECRET), {})) for provider in providers}
    ready = Intake(made, database, max_body_bytes=MAX_BODY)
    ready.activity.stop()  # nothing is written behind a test's back
    return ready


def test_each_delivery_of_a_round_gets_its_own_verdict_in_order(database: Database, database_url: str) -> None:
    known = payload(message_id="known")
    round_ = [
        delivery(known),
        delivery(known),
        delivery(payload(), X_Signature="0" * 64),
        delivery({"message_id": "bad"}),
        delivery(payload(message_id="last")),
    ]

    verdicts = intake(database).take_in(round_)

    assert [verdict.result for verdict in verdicts] == [
        Result.CREATED,
        Result.DUPLICATE,
        Result.INVALID_SIGNATURE,
        Result.VALIDATION_ERROR,
        Result.CREATED,
    ]
    assert [verdict.is_accepted for verdict in verdicts] == [True, True, False, False, True]
    assert [verdict.message_id for verdict in verdicts] == ["known", "known", None, None, "last"]
    assert verdicts[1].outcomes.messages == (Outcome.DUPLICATE,)
    assert verdicts[3].is_quarantined
    assert sorted(stored_ids(database_url)) == ["known", "last"]


def test_a_round_of_nothing_and_one_of_refusals_touch_no_database(database: Database, sqlite_url: str) -> None:
    database.close()
    refused = delivery(payload(), X_Signature="0" * 64)

    with held_turn(sqlite_url, "held"):
        assert intake(database).take_in([]) == []
        (verdict,) = intake(database).take_in([refused])

    assert verdict.reason is Reason.WRONG_SIGNATURE


@pytest.mark.parametrize(
    ("raw", "result", "reason"),
    [
        (b"verify", Result.UNAVAILABLE, Reason.VERIFIER_FAILED),
        (b"diagnose", Result.INVALID_SIGNATURE, Reason.MISSING_SIGNATURE),
        (b"parse", Result.VALIDATION_ERROR, Reason.PARSER_FAILED),
        (b"unstorable", Result.VALIDATION_ERROR, Reason.PARSER_FAILED),
    ],
)
def test_a_bug_of_a_provider_costs_that_delivery_alone(
    raw: bytes,
    result: Result,
    reason: Reason,
    database: Database,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    round_ = [
        delivery(payload(message_id="before")),
        delivery(raw + b" a secret text", "broken", A="b"),
        delivery(payload(message_id="after")),
    ]

    with caplog.at_level(logging.ERROR):
        before, broken, after = intake(database).take_in(round_)

    assert (before.result, after.result) == (Result.CREATED, Result.CREATED)
    assert (broken.result, broken.reason, broken.is_accepted) == (result, reason, False)
    assert stored_ids(database_url) == ["before", "after"]
    assert "a secret text" not in "".join(JsonFormatter().format(record) for record in caplog.records)


def test_a_database_that_is_held_makes_every_authentic_delivery_unavailable_in_time(sqlite_url: str) -> None:
    round_ = [delivery(payload()), delivery(payload(), X_Signature="0" * 64), delivery(payload())]

    with opened(sqlite_url) as database, held_turn(sqlite_url, "held"):
        begun = datetime.now(UTC)
        verdicts = intake(database).take_in(round_)
        waited = (datetime.now(UTC) - begun).total_seconds()

    assert [verdict.result for verdict in verdicts] == [
        Result.UNAVAILABLE,
        Result.INVALID_SIGNATURE,
        Result.UNAVAILABLE,
    ]
    assert waited < 3
    assert stored_ids(sqlite_url) == []


@pytest.mark.parametrize(
    ("path", "raw", "provider"),
    [
        ("/webhook", b"{}", "native"),
        ("/webhook/broken", b"{}", "broken"),
        ("/webhook/native", b"{}", None),
        ("/webhook/twilio", b"{}", None),
        ("/webhook/", b"{}", None),
        ("/webhook/broken/x", b"{}", None),
        ("/webhooks", b"{}", None),
        ("/messages", b"{}", None),
        ("/webhook", b"x" * (MAX_BODY + 1), None),
    ],
)
def test_only_what_the_view_would_take_in_is_a_delivery_of_a_round(
    path: str, raw: bytes, provider: str | None, database: Database
) -> None:
    found = delivery_in({"PATH_INFO": path, "RAW_URI": path, "HTTP_HOST": "inbox.example"}, raw, intake(database))

    assert (found and found.source) == provider
