"""Waiting: who asks again at once is given much at a time when it keeps up, and one after another when it is behind."""

from collections.abc import Iterator

import pytest

from webhook_service.domain.consumers import ConsumerKind
from webhook_service.outlet import waiting as module
from webhook_service.outlet.wait_checker import ForConsumer, WaitChecker
from webhook_service.outlet.waiting import (
    LONGEST_REST,
    PAUSE,
    REST,
    SHORTEST_REST,
    HeldBack,
    Hold,
    Waiting,
    let_hold_back,
)
from webhook_service.storage.database import Database

CRM = ForConsumer(ConsumerKind.CONSUMER, "crm")
LITTLE, MUCH = 1, 100  # messages that are left after an answer


class Clock:
    """The monotonic clock, which stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def waiting(database: Database) -> Waiting:
    return Waiting(WaitChecker(database), most_threads=1)


@pytest.fixture
def offered() -> Iterator[None]:
    """A server that can hold back the answer."""
    let_hold_back(Hold())
    yield
    let_hold_back(None)


def ask(waiting: Waiting, left: int | None, *, seconds: float = 25, condition: ForConsumer = CRM) -> int | None:
    """Asks for messages, when ``left`` are left after the answer; None stands for no messages."""
    return waiting.for_some(lambda: left, lambda: condition, seconds, leaves_little=lambda found: found == LITTLE)


@pytest.mark.usefixtures("offered")
def test_who_is_behind_is_answered_at_once_each_time(waiting: Waiting, clock: Clock) -> None:
    assert [ask(waiting, MUCH) for _ in range(10)] == [MUCH] * 10
    assert clock.now == 1000


@pytest.mark.usefixtures("offered")
def test_who_has_caught_up_waits_for_the_next_look(waiting: Waiting, clock: Clock) -> None:
    assert ask(waiting, LITTLE) == LITTLE

    with pytest.raises(HeldBack) as held:
        ask(waiting, LITTLE)
    assert held.value.condition == CRM

    let_hold_back(Hold(held.value.until))  # as the server does when it has looked
    assert ask(waiting, MUCH) == MUCH
    let_hold_back(Hold())
    clock.sleep(2 * PAUSE)
    assert ask(waiting, LITTLE) == LITTLE


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize(
    ("took", "rest"),
    [(0.0, SHORTEST_REST), (0.01, REST * 0.01), (3.0, LONGEST_REST)],
    ids=["an answer at once", "one of a busy machine", "one of a machine that can do no more"],
)
def test_who_has_caught_up_rests_the_longer_the_longer_its_answer_took(
    waiting: Waiting, clock: Clock, took: float, rest: float
) -> None:
    def read() -> int:
        clock.sleep(took)
        return LITTLE

    def take() -> int | None:
        return waiting.for_some(read, lambda: CRM, 25, leaves_little=lambda _: True)

    take()
    with pytest.raises(HeldBack) as held:
        take()

    assert held.value.not_before == pytest.approx(clock.now + rest)
    assert held.value.until == clock.now + 25
    clock.now = held.value.not_before
    assert take() == LITTLE


@pytest.mark.usefixtures("offered")
def test_who_takes_its_time_is_answered_at_once(waiting: Waiting, clock: Clock) -> None:
    assert ask(waiting, LITTLE) == LITTLE
    clock.sleep(2 * PAUSE)
    assert ask(waiting, LITTLE) == LITTLE


@pytest.mark.usefixtures("offered")
def test_a_consumer_that_has_caught_up_keeps_no_other_waiting(waiting: Waiting, clock: Clock) -> None:
    assert ask(waiting, LITTLE) == LITTLE
    assert ask(waiting, LITTLE, condition=ForConsumer(ConsumerKind.CONSUMER, "shop")) == LITTLE
    assert clock.now == 1000


@pytest.mark.usefixtures("offered")
def test_who_does_not_want_to_wait_never_does_and_has_nobody_else_wait(waiting: Waiting, clock: Clock) -> None:
    assert [ask(waiting, LITTLE, seconds=0) for _ in range(3)] == [LITTLE] * 3
    assert ask(waiting, LITTLE) == LITTLE
    assert clock.now == 1000


@pytest.mark.parametrize("took", [0.0, 0.01])
def test_where_the_server_can_not_hold_an_answer_back_a_thread_rests(
    waiting: Waiting, clock: Clock, took: float
) -> None:
    def read() -> int:
        clock.sleep(took)
        return LITTLE

    waiting.for_some(read, lambda: CRM, 25, leaves_little=lambda _: True)
    began = clock.now

    assert waiting.for_some(lambda: MUCH, lambda: CRM, 25) == MUCH

    assert clock.now - began == pytest.approx(max(PAUSE, REST * took))


def test_where_no_thread_may_wait_the_answer_comes_at_once(database: Database, clock: Clock) -> None:
    waiting = Waiting(WaitChecker(database), most_threads=0)
    assert ask(waiting, LITTLE) == LITTLE
    assert ask(waiting, MUCH) == MUCH
    assert ask(waiting, None) is None
    assert clock.now == 1000
