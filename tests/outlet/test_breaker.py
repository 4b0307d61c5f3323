"""When a destination is paused, probed and active again, and when a message is tried again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from webhook_service.domain.destinations import Attempt, DestinationHealth, DestinationState, Failure, On410, Retries
from webhook_service.outlet.backoff import FIRST_PROBE, LONGEST_PROBE, probe_delay, retry_delay
from webhook_service.outlet.breaker import FAILURES_TO_PAUSE, fail, resume, succeed

NOW = datetime(2026, 1, 15, 10, tzinfo=UTC)
ACCEPTED = Attempt(NOW, 0.1, 200)


def failed(status: int = 500, **fields: Any) -> Attempt:
    return Attempt(fields.pop("at", NOW), 0.1, status, Failure.STATUS, **fields)


def push(
    health: DestinationHealth,
    attempt: Attempt,
    on_410: On410 = On410.DISABLE,
    *,
    now: datetime = NOW,
    first_at: datetime | None = None,
) -> DestinationHealth:
    """How a destination is doing after a push that failed."""
    return fail(health, attempt, on_410, now, first_at)


def after(number: int, health: DestinationHealth | None = None) -> DestinationHealth:
    """How a destination is doing after so many failures in a row."""
    health = health or DestinationHealth()
    for _ in range(number):
        health = push(health, failed())
    return health


def test_failures_in_a_row_pause_it() -> None:
    paused = after(FAILURES_TO_PAUSE)

    assert after(FAILURES_TO_PAUSE - 1).state is DestinationState.ACTIVE
    assert (paused.state, paused.failed) == (DestinationState.PAUSED, FAILURES_TO_PAUSE)
    assert paused.held_until is not None
    assert paused.is_held(NOW)


def test_a_success_between_failures_begins_the_count_anew() -> None:
    interrupted = succeed(after(FAILURES_TO_PAUSE - 1), [ACCEPTED, ACCEPTED])

    assert after(FAILURES_TO_PAUSE - 1, interrupted).state is DestinationState.ACTIVE
    assert interrupted.pushed == 2


def test_what_was_under_way_when_it_was_paused_is_no_probe() -> None:
    paused = after(FAILURES_TO_PAUSE)
    leftover = push(paused, failed(at=NOW - timedelta(seconds=1)))
    probe = push(paused, failed(at=NOW + timedelta(seconds=9)), now=NOW + timedelta(seconds=10))

    assert (leftover.probes, leftover.held_until) == (0, paused.held_until)
    assert probe.probes == 1
    assert probe.is_held(NOW + timedelta(seconds=10))


def test_a_probe_that_is_accepted_makes_it_active() -> None:
    active = succeed(after(FAILURES_TO_PAUSE), [ACCEPTED])

    assert (active.state, active.failures, active.held_until) == (DestinationState.ACTIVE, 0, None)


@pytest.mark.parametrize(
    ("meaning", "state"), [(On410.DISABLE, "disabled"), (On410.RETRY, "active"), (On410.DEAD, "active")]
)
def test_a_410_means_what_it_is_declared_to_mean(meaning: On410, state: str) -> None:
    assert push(DestinationHealth(), failed(410), meaning).state == state


def test_a_message_that_is_not_wanted_says_that_the_destination_is_there() -> None:
    unwanted = push(after(FAILURES_TO_PAUSE - 1), failed(410), On410.DEAD)
    active = push(after(FAILURES_TO_PAUSE), failed(410), On410.DEAD)

    assert (unwanted.failures, unwanted.failed, unwanted.last_status) == (0, FAILURES_TO_PAUSE, 410)
    assert (active.state, active.held_until) == (DestinationState.ACTIVE, None)


def test_a_message_that_fails_again_while_others_are_accepted_pauses_nothing() -> None:
    accepting = succeed(DestinationHealth(), [ACCEPTED])
    before, since = NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)

    assert push(accepting, failed(at=since), first_at=before).failures == 0
    assert push(accepting, failed(at=since), first_at=since).failures == 1
    assert push(accepting, failed(at=since)).failures == 1


def test_only_a_person_makes_a_disabled_one_active() -> None:
    disabled = push(DestinationHealth(), failed(410))

    assert succeed(disabled, [ACCEPTED]).state is DestinationState.DISABLED
    assert resume(disabled).state is DestinationState.ACTIVE


@pytest.mark.parametrize(("status", "is_held"), [(429, True), (503, True), (500, False)])
def test_retry_after_of_one_that_is_overloaded_holds_all_of_it(status: int, is_held: bool) -> None:
    health = push(DestinationHealth(), failed(status, retry_after=7.0))

    assert health.is_held(NOW + timedelta(seconds=6)) is is_held
    assert not health.is_held(NOW + timedelta(seconds=7))


def test_the_time_until_a_retry_doubles_within_limits_and_is_drawn_from_all_of_it() -> None:
    retries = Retries(first=5, longest=60)
    bounds = [
        retry_delay(retries, failures, None, lambda least, most: most - least) for failures in (1, 2, 3, 4, 5, 99)
    ]

    assert bounds == [5, 10, 20, 40, 60, 60]
    assert retry_delay(retries, 3, None, lambda least, _most: least) == 0


def test_a_retry_is_never_earlier_than_the_receiver_asked_for() -> None:
    assert retry_delay(Retries(first=5), 1, 100.0) == 100.0


def test_probes_grow_rarer_within_limits() -> None:
    assert [probe_delay(probes, lambda _least, most: most) for probes in (0, 1, 99)] == [
        FIRST_PROBE,
        2 * FIRST_PROBE,
        LONGEST_PROBE,
    ]
