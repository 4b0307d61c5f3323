"""Deliveries of WhatsApp, signed with the secret of the tests."""

import json
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.deliveries import SECRET
from webhook_service.providers.whatsapp import OBJECT, SIGNATURE_HEADER, sign

METADATA = {"display_phone_number": "4930123456", "phone_number_id": "106540352242922"}


def a_message(message_id: str, **fields: Any) -> dict[str, Any]:
    """Returns a text from a customer."""
    return {
        "id": message_id,
        "from": "4915112345678",
        "timestamp": "1772366398",
        "type": "text",
        "text": {"body": "Hello"},
        **fields,
    }


def a_status(message_id: str, status: str = "sent", **fields: Any) -> dict[str, Any]:
    """Returns a status of a message that was sent from here."""
    return {"id": message_id, "status": status, "timestamp": "1772366398", "recipient_id": "4915112345678", **fields}


def a_value(**items: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the value of a change."""
    return {"messaging_product": "whatsapp", "metadata": METADATA, **items}


def of_values(*values: dict[str, Any]) -> dict[str, Any]:
    """Returns a delivery with a change for each value."""
    changes = [{"field": "messages", "value": value} for value in values]
    return {"object": OBJECT, "entry": [{"id": "102290129340398", "changes": changes}]}


def post(client: FlaskClient, delivery: dict[str, Any]) -> TestResponse:
    """Sends a delivery, signed."""
    raw = json.dumps(delivery).encode()
    signature = f"sha256={sign(SECRET, raw).hex()}"
    return client.post("/webhook/whatsapp", data=raw, headers={SIGNATURE_HEADER: signature})
