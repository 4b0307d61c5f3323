"""The circuit breaker: decides, by the result of each push, whether a destination goes on being pushed to."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from webhook_service.domain.destinations import (
    HELD_MOST,
    Attempt,
    DestinationHealth,
    DestinationState,
    On410,
    time_to_come,
)
from webhook_service.outlet.backoff import probe_delay

FAILURES_TO_PAUSE = 10  # in a row, after which nothing more is pushed until they are recorded
GONE = 410
_OVERLOADED = frozenset({429, 503})  # with these, Retry-After is about the receiver as a whole


def succeed(health: DestinationHealth, accepted: Sequence[Attempt]) -> DestinationHealth:
    """Returns the health of a destination after pushes that it accepted, which are given in order."""
    if not accepted:
        return health
    pushed, last = health.pushed + len(accepted), accepted[-1].at
    return _go_on(replace(health, pushed=pushed, last_pushed_at=last))


def fail(
    health: DestinationHealth, attempt: Attempt, on_410: On410, now: datetime, first_at: datetime | None
) -> DestinationHealth:
    """Returns the health of a destination after a push that failed; ``first_at`` is when the message failed first.

    A message that fails again although others were accepted meanwhile says nothing about the destination.
    """
    failed = replace(
        health,
        failed=health.failed + 1,
        last_failed_at=attempt.at,
        last_failure=attempt.failure,
        last_status=attempt.status,
    )
    if is_not_wanted(attempt, on_410):
        return _go_on(failed)  # it is there, and has answered for this message alone
    if not (first_at and health.last_pushed_at and first_at < health.last_pushed_at):
        failed = replace(failed, failures=failed.failures + 1)
    if attempt.status == GONE and on_410 is On410.DISABLE:
        return replace(failed, state=DestinationState.DISABLED)
    if failed.state is DestinationState.ACTIVE and failed.failures >= FAILURES_TO_PAUSE:
        until = now + timedelta(seconds=probe_delay(0))
        failed = replace(failed, state=DestinationState.PAUSED, paused_at=now, probes=0, held_until=until)
    elif failed.state is DestinationState.PAUSED and failed.paused_at and attempt.at >= failed.paused_at:
        # A push that was under way already when the destination was paused is no probe.
        until = now + timedelta(seconds=probe_delay(failed.probes + 1))
        failed = replace(failed, probes=failed.probes + 1, held_until=until)
    if attempt.status in _OVERLOADED and attempt.retry_after:
        asked_for = now + timedelta(seconds=attempt.retry_after)
        failed = replace(failed, held_until=max(time_to_come(failed.held_until, now, HELD_MOST), asked_for))
    return failed


def is_not_wanted(attempt: Attempt, on_410: On410) -> bool:
    """Tells whether the receiver said that it doesn't want this message, whatever it makes of others."""
    return attempt.status == GONE and on_410 is On410.DEAD


def resume(health: DestinationHealth) -> DestinationHealth:
    """Returns the health of a destination once it is resumed."""
    return replace(health, state=DestinationState.ACTIVE, failures=0, probes=0, held_until=None, paused_at=None)


def _go_on(health: DestinationHealth) -> DestinationHealth:
    return resume(health) if health.state is DestinationState.PAUSED else replace(health, failures=0)
