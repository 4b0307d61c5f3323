"""Activity: what became of the deliveries of a source, hour by hour."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from webhook_service.domain.results import Result
from webhook_service.domain.verdicts import Verdict


class DeliveryOutcome(StrEnum):
    """The outcome of a delivery as a whole. Each has one for its source, the first of these that is true of it.

    It has ``ROUTED`` besides, for each other source that an item of it went to.
    """

    UNAVAILABLE = "unavailable"
    """It could not be stored at the moment."""
    CONFLICT = "conflict"
    """Nothing in it was new, and the ID of one of its messages belongs to another message; it was kept whole."""
    QUARANTINED = "quarantined"
    """It was kept whole, since some or all of it was not understood, or could not be stored under its ID."""
    REFUSED = "refused"
    """Nothing of it was kept: its signature was wrong, or its body too large."""
    CREATED = "created"
    """Something in it was new."""
    DUPLICATE = "duplicate"
    """All of it was stored already."""
    EMPTY = "empty"
    """There was nothing in it to store, as in a check of the address."""
    ROUTED = "routed"
    """It came to the address of another source, whose route passed an item on."""


AUTHENTIC_OUTCOMES = tuple(
    outcome for outcome in DeliveryOutcome if outcome not in {DeliveryOutcome.REFUSED, DeliveryOutcome.UNAVAILABLE}
)
"""Those that only a delivery with a right signature has."""


@dataclass(slots=True)
class Activity:
    """The number of deliveries of a source that had one outcome in the hour that begins at ``hour``.

    ``last_at`` is when the latest of them came. ``last_reason`` and ``last_hint`` say why it was not accepted and what
    would have made its signature right; they may be those of an earlier delivery, which was diagnosed.
    """

    source: str
    outcome: DeliveryOutcome
    hour: datetime
    count: int
    last_at: datetime
    last_reason: str | None = None
    last_hint: str | None = None

    def add(self, later: "Activity") -> None:
        """Adds later deliveries of the same source and hour, with the same outcome."""
        self.count += later.count
        self.last_at = max(self.last_at, later.last_at)
        if later.last_reason is not None and (later.last_hint is not None or later.last_reason != self.last_reason):
            self.last_reason, self.last_hint = later.last_reason, later.last_hint


@dataclass(frozen=True, slots=True)
class SourceActivity:
    """The deliveries of a source by outcome: their number, and when the latest came."""

    counts: Mapping[DeliveryOutcome, int] = field(default_factory=dict)
    last_at: Mapping[DeliveryOutcome, datetime] = field(default_factory=dict)

    @property
    def latest(self) -> DeliveryOutcome | None:
        """Returns the outcome of the latest delivery; None when there is none."""
        return max(self.last_at, key=lambda outcome: self.last_at[outcome], default=None)


_OF_RESULTS = {
    Result.UNAVAILABLE: DeliveryOutcome.UNAVAILABLE,
    Result.CONFLICT: DeliveryOutcome.CONFLICT,
    Result.INVALID_SIGNATURE: DeliveryOutcome.REFUSED,
    Result.VALIDATION_ERROR: DeliveryOutcome.REFUSED,
    Result.CREATED: DeliveryOutcome.CREATED,
    Result.DUPLICATE: DeliveryOutcome.DUPLICATE,
    Result.EMPTY: DeliveryOutcome.EMPTY,
}


def outcome_of(verdict: Verdict) -> DeliveryOutcome:
    """Returns the outcome of a delivery as a whole, by the verdict on it."""
    if verdict.is_quarantined and verdict.result is not Result.CONFLICT:
        return DeliveryOutcome.QUARANTINED
    return _OF_RESULTS[verdict.result]
