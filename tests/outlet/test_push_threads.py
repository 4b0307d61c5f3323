"""The threads that push for one destination."""

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.support.messages import MOMENT
from tests.support.waiting import wait_until
from webhook_service.domain.destinations import Attempt, Failure, PushOrder
from webhook_service.domain.messages import StoredMessage
from webhook_service.outlet.push_threads import AT_RISK_LEAST, PushJob, PushResult, PushThreads

ACCEPTED = Attempt(datetime(2025, 1, 15, tzinfo=UTC), 0.1, 200)
BROKEN = "https://shop.example/TOKEN is broken"


def push(pushed: StoredMessage) -> Attempt:
    """Takes every message but one, at which it has a bug."""
    if pushed.message_id == "m1":
        raise LookupError(BROKEN)
    return ACCEPTED


@pytest.fixture
def threads() -> Iterator[PushThreads]:
    """One thread that pushes."""
    made = PushThreads(push, concurrency=1, order=PushOrder.SENDER)
    yield made
    made.stop()


def job(message_id: str, sender: str) -> PushJob:
    return PushJob(
        StoredMessage(1, message_id, sender, "+4930", MOMENT, "Hello", "native", "text", MOMENT, None, "shop")
    )


def results(threads: PushThreads, number: int) -> list[PushResult]:
    """Waits for the outcomes of this many jobs."""
    taken: list[PushResult] = []

    def take() -> bool:
        taken.extend(threads.take_results())
        return len(taken) == number

    wait_until(take, "outcomes")
    return taken


def test_a_bug_in_a_push_is_a_failed_attempt_and_the_thread_goes_on(threads: PushThreads) -> None:
    threads.add([job("m1", "+491"), job("m2", "+491"), job("m3", "+492")])

    came = {result.job.message.message_id: result.attempt for result in results(threads, 3)}

    assert (came["m1"] and came["m1"].failure, came["m2"], came["m3"]) == (Failure.INTERNAL_ERROR, None, ACCEPTED)
    assert threads.jobs == 0


def test_the_log_says_where_a_push_had_a_bug_and_not_what_it_was_about(
    threads: PushThreads, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        threads.add([job("m1", "+491")])
        results(threads, 1)

    assert "LookupError" in caplog.text
    assert "in push" in caplog.text
    assert BROKEN not in caplog.text


def test_no_push_begins_while_too_many_are_not_recorded() -> None:
    asked = threading.Event()
    made = PushThreads(lambda _message: ACCEPTED, concurrency=4, order=PushOrder.NONE, ask_for_record=asked.set)
    made.add([job(f"m{number}", "+491") for number in range(3 * AT_RISK_LEAST)])

    pushed = results(made, AT_RISK_LEAST)
    assert asked.is_set()
    assert made.jobs == 2 * AT_RISK_LEAST
    assert not made.may_go_on()

    made.forget_recorded()
    pushed += results(made, AT_RISK_LEAST)
    made.stop()
    assert len({result.job.message.message_id for result in pushed}) == 2 * AT_RISK_LEAST
