"""Signs the deliveries that Schemathesis makes, so that they get past the signature and into the payload.

Schemathesis loads this file by its path: https://schemathesis.readthedocs.io/en/stable/guides/extending/
"""

import base64
import json
import os
import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
import schemathesis
from requests.auth import AuthBase

from webhook_service.domain.errors import PayloadInvalid
from webhook_service.providers import native, standard, strict_json, twilio, whatsapp

_OPAQUE = {"cursor", "after"}
LONGEST_WAIT = 2  # seconds


class Signing(AuthBase):
    """Signs what is sent, as its provider does; a delivery without the header stays unsigned."""

    def __call__(self, prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        body = prepared.body or b""
        raw = body if isinstance(body, bytes) else str(body).encode()
        headers, (path, target) = prepared.headers, _path_and_target(prepared.url or "")
        if path == "/webhook" and native.SIGNATURE_HEADER in headers:
            headers[native.SIGNATURE_HEADER] = native.sign(os.environ["WEBHOOK_SECRET"], raw)
        if path == "/webhook/standard" and standard.SIGNATURE_HEADER in headers:
            headers.update(_signed_by_standard(headers, raw))
        if path == "/webhook/whatsapp" and whatsapp.SIGNATURE_HEADER in headers:
            signature = whatsapp.sign(os.environ["WHATSAPP_APP_SECRET"], raw).hex()
            headers[whatsapp.SIGNATURE_HEADER] = f"sha256={signature}"
        if path == "/webhook/twilio" and twilio.SIGNATURE_HEADER in headers:
            fields = parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True)
            digest = twilio.sign(os.environ["TWILIO_AUTH_TOKEN"], os.environ["PUBLIC_URL"] + target, fields)
            headers[twilio.SIGNATURE_HEADER] = base64.b64encode(digest).decode()
        return prepared


def _path_and_target(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.path, parts.path + (f"?{parts.query}" if parts.query else "")


def _signed_by_standard(headers: Any, raw: bytes) -> dict[str, str]:
    """Returns the headers to replace: a time that is not stale, and the signature over it."""
    if standard.ID_HEADER not in headers or standard.TIMESTAMP_HEADER not in headers:
        return {}
    webhook_id, timestamp = "msg_fuzz", str(int(time.time()))
    key = standard.decode_standard_secret(os.environ["STANDARD_WEBHOOKS_SECRET"])
    signature = base64.b64encode(standard.sign(key, webhook_id.encode(), timestamp.encode(), raw)).decode()
    return {
        standard.ID_HEADER: webhook_id,
        standard.TIMESTAMP_HEADER: timestamp,
        standard.SIGNATURE_HEADER: f"v1,{signature}",
    }


@schemathesis.hook
def map_query(_context: Any, query: Any) -> Any:
    """Leaves out what only an earlier answer can tell, and shortens waits, which would outlast the client's patience.

    tests/schemas/test_cursors.py has made-up cursors.
    """
    if not isinstance(query, dict):
        return query
    known = {name: value for name, value in query.items() if name not in _OPAQUE}
    if isinstance(known.get("wait"), int):
        known["wait"] = min(known["wait"], LONGEST_WAIT)
    return known


@schemathesis.hook
def filter_query(_context: Any, query: Any) -> bool:
    """Leaves out lists: one of a single value is sent as that value, which may well be right."""
    return not isinstance(query, dict) or not any(isinstance(value, list) for value in query.values())


@schemathesis.hook
def filter_body(_context: Any, body: Any) -> bool:
    """Leaves out JSON that no schema forbids and the service refuses.

    That is numbers over 64 bits, too many levels, and NUL in the ID of a dead letter.
    """
    if isinstance(body, dict) and "\x00" in "".join(_texts(body.get("dead"))):
        return False
    try:
        strict_json.loads(json.dumps(body).encode())
    except TypeError:  # a body that is no JSON
        return True
    except PayloadInvalid:
        return False
    return True


@schemathesis.hook
def before_call(_context: Any, _case: Any, kwargs: dict[str, Any]) -> None:
    """Has every request signed as it is sent."""
    kwargs["auth"] = Signing()


def _texts(dead: Any) -> list[str]:
    return [name for name in dead if isinstance(name, str)] if isinstance(dead, dict) else []
