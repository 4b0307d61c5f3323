"""Responses that providers expect."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The response to a delivery that is on disk, or to a check of the address."""

    content_type: str
    body: bytes
    status: int = 200
