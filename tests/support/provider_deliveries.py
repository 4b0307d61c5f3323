"""Deliveries, as the HTTP layer hands them to a provider."""

from collections.abc import Mapping
from datetime import UTC, datetime

from werkzeug.datastructures import Headers

from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.messages import Message
from webhook_service.providers.base import Sample

RECEIVED_AT = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)

MESSAGE = Message(
    message_id="m-1",
    provider="native",
    sender="+4915112345678",
    recipient="+4930123456",
    ts=datetime(2026, 3, 1, 11, 59, 58, tzinfo=UTC),
    received_at=RECEIVED_AT,
    text="Hello / Grüße",
)


def delivery_of(
    raw: bytes, headers: Mapping[str, str], *, target: str = "/webhook", received_at: datetime = RECEIVED_AT
) -> Delivery:
    """Returns a delivery of these bytes."""
    return Delivery(source="", raw=raw, headers=Headers(dict(headers)), target=target, received_at=received_at)


def delivery_of_sample(sample: Sample) -> Delivery:
    """Returns the delivery that a sample becomes when it is sent."""
    return delivery_of(sample.body, sample.headers, target=sample.path)
