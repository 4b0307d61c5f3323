"""Secrets, and which of them made a signature."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class SecretAge(StrEnum):
    """The labels of secrets that are given none."""

    CURRENT = "current"
    PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret of a source, with the label that stands for it in the log and the metrics.

    From ``until`` on (aware, in UTC), what it signs is refused.
    """

    value: str = field(repr=False)
    label: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True, init=False)
class Secrets:
    """The secrets that may sign, the likelier one first: the current one, and those that are being rotated out.

    One that is given as a text is labelled by its place.
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
        """The secret that signs."""
        return self.listed[0].value

    def by_age(self) -> list[tuple[str, str]]:
        """Returns the secrets with their labels, the likelier one first."""
        return [(secret.label, secret.value) for secret in self.listed]

    def has_expired(self, label: str, at: datetime) -> bool:
        """Tells if the secret with this label is past its time."""
        return any(secret.until is not None and at >= secret.until for secret in self.listed if secret.label == label)


def label_of(place: int) -> str:
    """Returns the label of the secret at a place in the list, from 0, which has none of its own."""
    if place == 0:
        return SecretAge.CURRENT
    return SecretAge.PREVIOUS if place == 1 else f"{SecretAge.PREVIOUS}-{place}"
