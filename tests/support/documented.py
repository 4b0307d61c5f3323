"""Signs by hand as the documentation of providers describes it, for those whose SDKs don't verify deliveries."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.preset_keys import PUBLIC_URL, private_key

Signs = Callable[[str, str, bytes, int], dict[str, str]]
"""Makes the headers of a delivery from the secret, the target, the body, and the time in seconds."""


def _hex(secret: str, content: bytes) -> str:
    return hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()


def _base64(secret: str, content: bytes) -> str:
    return base64.b64encode(hmac.new(secret.encode(), content, hashlib.sha256).digest()).decode()


def meta(secret: str, _target: str, body: bytes, _now: int) -> dict[str, str]:
    """https://developers.facebook.com/docs/messenger-platform/webhooks#validate-payloads"""
    return {"X-Hub-Signature-256": "sha256=" + _hex(secret, body)}


def telegram(secret: str, _target: str, _body: bytes, _now: int) -> dict[str, str]:
    """https://core.telegram.org/bots/api#setwebhook"""
    return {"X-Telegram-Bot-Api-Secret-Token": secret}


def bird(secret: str, target: str, body: bytes, now: int) -> dict[str, str]:
    """https://docs.bird.com/api/notifications-api/api-reference/webhook-subscriptions/verifying-a-webhook-subscription"""
    checksum = hashlib.sha256(body).digest()
    signed = str(now).encode() + b"\n" + (PUBLIC_URL + target).encode() + b"\n" + checksum
    return {"messagebird-request-timestamp": str(now), "messagebird-signature": _base64(secret, signed)}


def shopify(secret: str, _target: str, body: bytes, _now: int) -> dict[str, str]:
    """https://shopify.dev/docs/apps/build/webhooks/subscribe/https"""
    return {"X-Shopify-Hmac-SHA256": _base64(secret, body)}


def linear(secret: str, _target: str, body: bytes, _now: int) -> dict[str, str]:
    """https://linear.app/developers/webhooks#securing-webhooks"""
    return {"Linear-Signature": _hex(secret, body)}


def zoom(secret: str, _target: str, body: bytes, now: int) -> dict[str, str]:
    """https://developers.zoom.us/docs/api/webhooks/#verify-webhook-events"""
    signature = _hex(secret, f"v0:{now}:".encode() + body)
    return {"x-zm-request-timestamp": str(now), "x-zm-signature": "v0=" + signature}


def standard_webhooks_v1a(_secret: str, _target: str, body: bytes, now: int) -> dict[str, str]:
    """https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme"""
    key = private_key("ed25519")
    assert isinstance(key, Ed25519PrivateKey)
    signature = key.sign(b"msg_1." + str(now).encode() + b"." + body)
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now),
        "webhook-signature": "v1,bm90aGluZw== v1a," + base64.b64encode(signature).decode(),
    }


DOCUMENTED: Mapping[str, Signs] = {
    "messenger": meta,
    "instagram": meta,
    "telegram": telegram,
    "bird": bird,
    "shopify": shopify,
    "linear": linear,
    "zoom": zoom,
    "standard-webhooks-v1a": standard_webhooks_v1a,
}
"""The functions that sign, by the names of the presets that have no other judge."""
