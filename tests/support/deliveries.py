"""Signed deliveries, as the native provider sends them."""

import json
from typing import Any
from uuid import uuid4

from webhook_service.providers.native import SIGNATURE_HEADER, sign

SECRET = "the-secret-of-the-tests"
SENDER = "+4915112345678"
RECIPIENT = "+4930123456"


def payload(**fields: Any) -> dict[str, Any]:
    """Returns a valid native payload with an ID of its own; ``fields`` replace its fields or add to them.

    ``sender`` and ``recipient`` stand for ``from`` and ``to``.
    """
    spelled = {{"sender": "from", "recipient": "to"}.get(name, name): value for name, value in fields.items()}
    return {
        "message_id": f"m-{uuid4()}",
        "from": SENDER,
        "to": RECIPIENT,
        "ts": "2025-01-15T10:00:00Z",
        "text": "Hello",
        **spelled,
    }


def signed(raw: bytes, secret: str = SECRET) -> dict[str, str]:
    """Returns the headers of a delivery of these bytes."""
    return {"Content-Type": "application/json", SIGNATURE_HEADER: sign(secret, raw)}


def to_bytes(content: Any) -> bytes:
    """Returns a payload as the bytes of a body."""
    return json.dumps(content).encode()
