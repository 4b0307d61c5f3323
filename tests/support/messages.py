"""Messages as values, for tests that need no delivery."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from webhook_service.domain.messages import Message, Position, StoredMessage

MOMENT = datetime(2025, 1, 15, 10, tzinfo=UTC)


def message(message_id: str | None = None, **fields: Any) -> Message:
    """Returns a message, with an ID of its own unless one is given; ``fields`` replace its values."""
    values: dict[str, Any] = {
        "provider": "native",
        "sender": "+4915112345678",
        "recipient": "+4930123456",
        "ts": MOMENT,
        "received_at": MOMENT,
        "text": "Hello",
        **fields,
    }
    return Message(message_id=message_id or f"m-{uuid4()}", **values)


def as_sent(stored: StoredMessage) -> Message:
    """Returns the message that was sent, made from the stored one, so that the two can be compared."""
    fields = stored._asdict()
    del fields["id"], fields["is_test"]
    fields["source"] = None if stored.source == stored.provider else stored.source
    return Message(**{**fields, "extra": None if stored.extra is None else json.loads(stored.extra)})


def position(each: Message) -> Position:
    """Returns the place that a message has once it is stored."""
    return Position(each.ts, each.message_id)
