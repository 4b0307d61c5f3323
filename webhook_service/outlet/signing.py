"""A message as a Standard Webhooks request.

Specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
from datetime import datetime
from urllib.parse import quote

from webhook_service.domain.formats import encode_json
from webhook_service.domain.messages import StoredMessage
from webhook_service.domain.secrets import Secrets
from webhook_service.providers.standard import (
    ID_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    decode_standard_secret,
    sign,
)
from webhook_service.schemas.messages import present_message

USER_AGENT = "webhook_service"

# What a header's value may hold beside letters and digits; a percent sign itself is encoded, so no two IDs look alike.
_SAFE_IN_HEADER = "!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"


class PushSigner:
    """Signs requests with each secret of a destination, so that a receiver may use either while one is replaced."""

    def __init__(self, secrets: Secrets) -> None:
        self._keys = [decode_standard_secret(secret) for _, secret in secrets.labelled()]

    def headers(self, message_id: str, body: bytes, now: datetime) -> dict[str, str]:
        """Returns the headers of a request; its ID is the message's, by which the receiver recognizes a repetition."""
        webhook_id, timestamp = header_id(message_id), str(int(now.timestamp()))
        content = webhook_id.encode(), timestamp.encode(), body
        return {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": USER_AGENT,
            ID_HEADER: webhook_id,
            TIMESTAMP_HEADER: timestamp,
            SIGNATURE_HEADER: " ".join(f"v1,{base64.b64encode(sign(key, *content)).decode()}" for key in self._keys),
        }


def header_id(message_id: str) -> str:
    """Writes a message's ID as a header can hold it: what is not printable ASCII is percent-encoded (RFC 3986)."""
    return message_id if message_id.isalnum() and message_id.isascii() else quote(message_id, safe=_SAFE_IN_HEADER)


def body_of(message: StoredMessage) -> bytes:
    """Writes a message as JSON, the way the feed shows it."""
    return encode_json(present_message(message))
