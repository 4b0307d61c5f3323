"""Sources: configured senders, each with a name and an address of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from webhook_service.domain.activity import DeliveryOutcome

NATIVE = "native"
"""The name of the source at the bare address, which uses the service's own scheme."""

ADDRESS = "/webhook"


def path_of(source: str) -> str:
    """Returns the path that the deliveries of a source come to, below the service's base URL."""
    return ADDRESS if source == NATIVE else f"{ADDRESS}/{source}"


def source_at_path(path: str) -> str | None:
    """Returns the name of the source whose deliveries come to a path; None if the path is no source's."""
    if path == ADDRESS:
        return NATIVE
    name = path.removeprefix(f"{ADDRESS}/")
    return None if name in {path, NATIVE} or "/" in name else name


@dataclass(frozen=True, slots=True)
class SecretReport:
    """A secret of a source by its label: until when it is valid, and when it last signed a delivery.

    ``may_go`` says that the source can do without it. For a source with one secret, its use is not recorded.
    """

    label: str
    until: datetime | None
    last_matched_at: datetime | None
    may_go: bool


@dataclass(frozen=True, slots=True)
class SetupGuide:
    """A guide to setting up a source at its provider: where its address goes, and the values of other fields there."""

    place: str
    address_field: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SourceReport:
    """A configured source and what has become of its deliveries.

    ``last_day`` counts those of the last 24 hours, and of the hour in which these begin, by their outcome.
    ``last_delivery_at`` is when the latest came that had a right signature, however long ago.
    """

    name: str
    provider: str
    last_delivery_at: datetime | None
    last_day: Mapping[DeliveryOutcome, int]
    secrets: tuple[SecretReport, ...]
    setup: SetupGuide
