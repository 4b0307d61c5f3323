"""The order in which a round's answers are made and sent."""

from typing import Any, cast

import pytest

from webhook_service.intake.take_in import Intake
from webhook_service.serving.connection import Connection
from webhook_service.serving.rounds import ANSWERED_TOGETHER, Answered, Exchange, Rounds


class Noting(Rounds):
    """Rounds that note which answer is made and which is sent."""

    def __init__(self, *, fails: str = "", is_gone: str = "") -> None:
        super().__init__(None, cast("Intake", None), notify=lambda: None)
        self.noted: list[str] = []
        self._fails = fails
        self._is_gone = is_gone

    def _parse(self, connection: Any) -> Exchange:
        return Exchange(connection, None, cast("Any", None), {}, None)

    def _take_in(self, exchanges: list[Exchange]) -> None:
        pass

    def _make_answer(self, exchange: Exchange) -> bool:
        self.noted.append(f"make {exchange.connection}")
        return str(exchange.connection) != self._fails

    def _send_answer(self, exchange: Exchange) -> bool:
        self.noted.append(f"send {exchange.connection}")
        return str(exchange.connection) != self._is_gone

    def serve(self, names: list[str]) -> Answered:
        """Serves a round."""
        return self._serve(cast("list[Connection]", names))


def test_answers_are_sent_together_so_that_no_client_interrupts_the_making_of_the_next() -> None:
    rounds = Noting()

    rounds.serve(["1", "2", "3"])

    assert rounds.noted == ["make 1", "make 2", "make 3", "send 1", "send 2", "send 3"]


def test_the_first_of_a_large_round_does_not_wait_for_the_answer_to_the_last() -> None:
    rounds = Noting()
    names = [str(number) for number in range(ANSWERED_TOGETHER + 1)]

    rounds.serve(names)

    assert rounds.noted.index(f"send {names[0]}") < rounds.noted.index(f"make {names[-1]}")
    assert sorted(rounds.noted) == sorted(f"{verb} {name}" for verb in ("make", "send") for name in names)


@pytest.mark.parametrize("what", ["fails", "is_gone"])
def test_an_answer_that_fails_takes_no_other_along(what: str) -> None:
    rounds = Noting(**{what: "2"})

    assert rounds.serve(["1", "2", "3"]) == [("1", True), ("2", False), ("3", True)]
    assert ("send 2" in rounds.noted) is (what == "is_gone")
    assert rounds.noted[-1] == "send 3"
