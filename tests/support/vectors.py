"""Vectors: signed deliveries that were made or accepted by somebody other than this service."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.provider_deliveries import delivery_of
from webhook_service.domain.deliveries import Delivery
from webhook_service.providers.base import Sample

FOLDER = Path(__file__).parents[1] / "providers" / "data" / "judged"


@dataclass(frozen=True)
class Vector:
    """A delivery with the secret that verifies it, and the judge that vouches for it.

    ``signed_by`` is the provider's SDK, this service (``"here"``, accepted by the SDK), or the documentation at a URL.
    """

    preset: str
    judge: str
    signed_by: str
    secret: str
    target: str
    headers: dict[str, str]
    body: str
    at: str
    public_url: str = "https://inbox.example.com"

    @property
    def delivery(self) -> Delivery:
        """Returns the delivery as if it arrived at the time at which it was signed."""
        at = datetime.fromisoformat(self.at).astimezone(UTC)
        return delivery_of(self.body.encode(), self.headers, target=self.target, received_at=at)


def vector_of(preset: str, judge: str, signed_by: str, secret: str, sample: Sample, at: datetime) -> Vector:
    """Returns the vector of a delivery that a judge has vouched for."""
    return Vector(
        preset, judge, signed_by, secret, sample.path, dict(sample.headers), sample.body.decode(), at.isoformat()
    )


def save(vectors: list[Vector]) -> None:
    """Writes the vectors of a preset to its file."""
    rows: list[dict[str, Any]] = [vector.__dict__ for vector in vectors]
    file = FOLDER / f"{vectors[0].preset}.json"
    file.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


def load() -> list[Vector]:
    """Returns all vectors."""
    return [Vector(**row) for file in sorted(FOLDER.glob("*.json")) for row in json.loads(file.read_text())]
