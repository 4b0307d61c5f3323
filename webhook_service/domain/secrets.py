"""Secrets, and which of them made a signature."""

from dataclasses import dataclass, field
from enum import StrEnum


class SecretAge(StrEnum):
    """The age of the secret that made a signature."""

    CURRENT = "current"
    PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class Secrets:
    """A provider's secret, and the one it replaces while that is being rotated out."""

    current: str = field(repr=False)
    previous: str | None = field(default=None, repr=False)

    def by_age(self) -> list[tuple[SecretAge, str]]:
        """Returns the secrets that may have signed, the likelier one first."""
        secrets = [(SecretAge.CURRENT, self.current)]
        if self.previous is not None:
            secrets.append((SecretAge.PREVIOUS, self.previous))
        return secrets
