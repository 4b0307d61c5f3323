"""Deliveries that are slow to verify hold up no others."""

from datetime import UTC, datetime
from threading import Event
from typing import Any, cast

import pytest

from tests.support.preset_keys import provider
from tests.support.waiting import wait_until
from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.secrets import Secrets
from webhook_service.intake.take_in import Intake
from webhook_service.providers.base import Provider
from webhook_service.providers.native import Native
from webhook_service.providers.source import Source
from webhook_service.serving.connection import Connection
from webhook_service.serving.rounds import MAX_ROUND, MAX_SLOW, Answered, Exchange, Rounds
from webhook_service.storage.database import Database

NOW = datetime.now(UTC)


class WithoutNetwork(Rounds):
    """Rounds whose connections are the deliveries themselves, and that note what each round takes in."""

    def __init__(self) -> None:
        providers: dict[str, Provider] = {"native": Native(Secrets("x"), {}), "telnyx": provider("telnyx")}
        sources = {name: Source(name, made) for name, made in providers.items()}
        intake = Intake(sources, cast("Database", None), max_body_bytes=0)
        self.taken_in: list[list[str]] = []
        self.ended = Event()
        super().__init__(None, intake, notify=self.ended.set)

    def _parse(self, connection: Any) -> Exchange | None:
        name = connection.partition("-")[0]
        if name == "unreadable":
            return None
        return Exchange(connection, None, cast("Any", None), {}, Delivery(name, b"", {}, "/", NOW))

    def _take_in(self, exchanges: list[Exchange]) -> None:
        self.taken_in.append([str(exchange.connection) for exchange in exchanges])

    def _make_answer(self, _exchange: Exchange) -> bool:
        return True

    def _send_answer(self, _exchange: Exchange) -> bool:
        return True


def answered(rounds: Rounds, sent: list[str]) -> Answered:
    """Every answer to what is sent at once."""
    done = rounds.submit(cast("list[Connection]", sent))

    def all_are() -> bool:
        done.extend(rounds.answered())
        return len(done) >= len(sent)

    wait_until(all_are, "every delivery to be answered")
    return done


def test_a_flood_of_slow_deliveries_is_taken_in_a_few_at_a_time_and_behind_the_others() -> None:
    rounds = WithoutNetwork()
    rounds.start()
    slow = [f"telnyx-{number}" for number in range(100)]
    quick = [f"native-{number}" for number in range(20)]

    done = answered(rounds, [*slow, *quick])

    assert rounds.taken_in[0] == quick + slow[:MAX_SLOW]
    assert [len(taken) for taken in rounds.taken_in[1:]] == [MAX_SLOW] * 5 + [4]
    assert [name for taken in rounds.taken_in[1:] for name in taken] == slow[MAX_SLOW:]
    assert sorted(str(connection) for connection, _ in done) == sorted([*slow, *quick])


def test_every_request_of_several_rounds_is_answered_once() -> None:
    rounds = WithoutNetwork()
    rounds.start()
    sent = [f"{name}-{number}" for number in range(MAX_ROUND) for name in ("native", "telnyx", "unreadable")]

    done = answered(rounds, sent)

    assert sorted(str(connection) for connection, _ in done) == sorted(sent)
    assert {str(connection).partition("-")[0] for connection, kept in done if not kept} == {"unreadable"}


@pytest.mark.parametrize(
    ("name", "is_slow"),
    [("telnyx", True), ("sendgrid", True), ("stripe", False), ("vonage", False), ("telegram", False)],
)
def test_what_is_verified_by_a_public_key_is_slow(name: str, is_slow: bool) -> None:
    assert provider(name).verifies_slowly is is_slow
