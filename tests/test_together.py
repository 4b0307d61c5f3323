"""Calls that run together in one thread: who asks with whom, and what each is told."""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import partial
from threading import get_ident

import pytest

from webhook_service.together import Rounds, ask


class Oracle:
    """Answers each question with its negative, and remembers what it was asked at once."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def __call__(self, questions: list[int]) -> list[int]:
        self.asked.append(questions)
        return [-question for question in questions]


def test_calls_of_a_round_ask_together_and_each_gets_its_own_answer() -> None:
    oracle = Oracle()
    told: list[tuple[int, int]] = []

    def call(number: int) -> None:
        told.append((number, ask(oracle, number)))

    Rounds().run(partial(call, number) for number in range(1000))

    assert oracle.asked == [list(range(1000))]
    assert told == [(number, -number) for number in range(1000)]


def test_a_call_that_asks_nothing_ends_before_the_others_are_answered() -> None:
    oracle = Oracle()
    ended: list[str] = []

    def asking() -> None:
        ask(oracle, 1)
        ended.append("asking")

    Rounds().run([asking, lambda: ended.append("silent"), asking])

    assert ended == ["silent", "asking", "asking"]
    assert oracle.asked == [[1, 1]]


def test_a_call_that_asks_again_asks_with_those_that_do_so_too() -> None:
    oracle = Oracle()

    def call(questions: Sequence[int]) -> None:
        for question in questions:
            ask(oracle, question)

    Rounds().run(partial(call, questions) for questions in [(1, 10), (2,), (3, 30)])

    assert oracle.asked == [[1, 2, 3], [10, 30]]


def test_different_questions_are_not_mixed() -> None:
    first, second = Oracle(), Oracle()

    Rounds().run(partial(ask, oracle, number) for number, oracle in enumerate([first, second, first]))

    assert first.asked == [[0, 2]]
    assert second.asked == [[1]]


def test_what_answering_raises_is_raised_in_each_call_that_asked() -> None:
    told: list[str] = []

    def fail(questions: list[int]) -> list[int]:
        raise OSError(f"{len(questions)} in vain")

    def call(number: int) -> None:
        try:
            ask(fail, number)
        except OSError as error:
            told.append(f"{number}: {error}")

    Rounds().run(partial(call, number) for number in range(3))

    assert told == ["0: 3 in vain", "1: 3 in vain", "2: 3 in vain"]


def test_too_few_answers_are_an_error() -> None:
    def answer_one(questions: list[int]) -> list[int]:
        return questions[:1]

    with pytest.raises(ValueError, match="shorter"):
        Rounds().run([partial(ask, answer_one, 1), partial(ask, answer_one, 2)])


def test_an_error_of_a_call_is_raised_and_the_next_round_is_as_good_as_the_first() -> None:
    oracle = Oracle()
    rounds = Rounds()

    def fail() -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        rounds.run([partial(ask, oracle, 1), fail])
    rounds.run([partial(ask, oracle, 2), partial(ask, oracle, 3)])

    assert oracle.asked == [[2, 3]]


def test_outside_of_a_round_a_question_is_answered_alone_and_at_once() -> None:
    oracle = Oracle()

    assert ask(oracle, 7) == -7
    assert oracle.asked == [[7]]


def test_calls_run_in_the_thread_of_the_round_and_its_stacks_are_used_again() -> None:
    rounds = Rounds()
    seen: set[int] = set()

    def call() -> None:
        seen.add(get_ident())
        ask(Oracle(), 1)

    for _ in range(3):
        rounds.run([call, call])

    assert seen == {get_ident()}
    assert len(rounds._idle) == 2


def test_a_call_does_not_see_what_another_has_set_while_it_was_set_aside() -> None:
    current: ContextVar[int] = ContextVar("current")
    oracle = Oracle()
    seen: list[int] = []

    def call(number: int) -> None:
        token = current.set(number)
        ask(oracle, number)
        seen.append(current.get())
        current.reset(token)

    calls: list[Callable[[], None]] = [partial(call, number) for number in range(5)]
    Rounds().run(calls)

    assert seen == [0, 1, 2, 3, 4]
    assert current.get(None) is None
