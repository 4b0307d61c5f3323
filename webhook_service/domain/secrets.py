"""Secrets, each with the label by which it is known."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class DefaultLabel(StrEnum):
    """The labels of secrets that are given no label of their own."""

    CURRENT = "current"
    PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret of a source, with the label that stands for it in the log and the metrics.

    What it signs is refused from ``until`` on (aware, in UTC).
    """

    value: str = field(repr=False)
    label: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True, init=False)
class Secrets:
    """The secrets that may sign, the likelier ones first: the current one, then those that are being rotated out.

    A secret that is given as a text is labelled by its place.
    """

    listed: tuple[Secret, ...]

    def __init__(self, current: str | Secret, *others: str | Secret | None) -> None:
        given = (current, *(secret for secret in others if secret is not None))
        listed = (
            secret if isinstance(secret, Secret) else Secret(secret, label_of(place))
            for place, secret in enumerate(given)
        )
        object.__setattr__(self, "listed", tuple(listed))

    @property
    def current(self) -> str:
        """Returns the secret that signs."""
        return self.listed[0].value

    def labelled(self) -> list[tuple[str, str]]:
        """Returns (label, secret) pairs, the likelier ones first."""
        return [(secret.label, secret.value) for secret in self.listed]

    def has_expired(self, label: str, at: datetime) -> bool:
        """Tells whether the secret with this label is past its time."""
        return any(secret.until is not None and at >= secret.until for secret in self.listed if secret.label == label)


def label_of(place: int) -> str:
    """Returns the label of a secret that has none of its own, by its place in the list, from 0."""
    if place == 0:
        return DefaultLabel.CURRENT
    return DefaultLabel.PREVIOUS if place == 1 else f"{DefaultLabel.PREVIOUS}-{place}"
