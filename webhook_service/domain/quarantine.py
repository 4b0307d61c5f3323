"""Deliveries in quarantine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

MORE_PROBLEMS = "…"
"""The key under which the problems of a delivery say how many more there are than are named."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An authentic delivery that could not be understood, wholly or in part, as it is kept for a replay.

    ``problems`` says what was wrong with each field or item, by its path in the payload. ``headers`` are the provider's
    ``kept_headers``, for the operator; no secret and no signature is among them. ``source`` is None for the source that
    is named like the provider.
    """

    provider: str
    raw: bytes = field(repr=False)
    headers: Mapping[str, str]
    target: str
    reason: str
    problems: Mapping[str, list[str]]
    received_at: datetime
    source: str | None = None

    @property
    def source_name(self) -> str:
        """Returns the name of the source that the delivery came to."""
        return self.source or self.provider


@dataclass(frozen=True, slots=True)
class QuarantineSummary:
    """A quarantined delivery that came ``count`` times, without its body, which has ``size`` bytes."""

    id: int
    source: str
    provider: str
    reason: str
    problems: Mapping[str, list[str]]
    first_at: datetime
    last_at: datetime
    count: int
    size: int


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """A quarantined delivery as stored, with its body; it came ``count`` times, most recently at ``last_at``."""

    id: int
    delivery: Quarantined
    last_at: datetime
    count: int

    @property
    def summary(self) -> QuarantineSummary:
        """Returns the entry as lists show it."""
        kept = self.delivery
        return QuarantineSummary(
            id=self.id,
            source=kept.source_name,
            provider=kept.provider,
            reason=kept.reason,
            problems=kept.problems,
            first_at=kept.received_at,
            last_at=self.last_at,
            count=self.count,
            size=len(kept.raw),
        )


@dataclass(frozen=True, slots=True)
class QuarantineSize:
    """The number of deliveries of a source in quarantine, and the bytes that they take."""

    deliveries: int
    bytes: int
