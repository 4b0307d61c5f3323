"""What each provider's SDK from PyPI has to say of a delivery: whether it accepts it, and how it would sign it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from json import loads
from typing import Any
from urllib.parse import parse_qsl

import jwt
import stripe
from discord_interactions import verify_key
from gidgethub import ValidationFailure
from gidgethub.sansio import validate_event
from linebot.v3.webhook import SignatureValidator
from mailgun.security import SecurityGuard
from messagebird.error import ValidationError
from messagebird.request_validator import RequestValidator
from nacl.encoding import Base64Encoder, HexEncoder
from nacl.signing import SigningKey
from plivo.utils.signature_v3 import construct_post_url, get_signature_v3, validate_v3_signature
from sendgrid.helpers.eventwebhook import EventWebhook
from sinch.domains.authentication.sinch_events.v1.authentication_validation import (
    calculate_sinch_event_signature,
    compute_signed_data,
    validate_sinch_event_signature_with_nonce,
)
from slack_sdk.signature import SignatureVerifier
from square.utils.webhooks_helper import verify_signature as square_accepts
from standardwebhooks import Webhook as StandardWebhook
from standardwebhooks import WebhookVerificationError as WebhookRefused
from svix.webhooks import Webhook as SvixWebhook
from telnyx.lib.webhook_verification import WebhookVerificationError, verify_webhook_signature
from viberbot import Api, BotConfiguration
from vonage_jwt import verify_signature as vonage_accepts

from tests.support.preset_keys import PUBLIC_URL, private_key
from webhook_service.providers.base import Sample

Headers = Mapping[str, str]
Accepts = Callable[[Sample, str], bool]
Signs = Callable[[Sample, str, datetime], dict[str, str]]


@dataclass(frozen=True)
class Sdk:
    """A judge: the package on PyPI, whether it accepts a delivery with a secret, and the headers it would sign with.

    ``signs`` is None for an SDK that verifies only.
    """

    package: str
    accepts: Accepts
    signs: Signs | None = None


def _stripe(sample: Sample, key: str) -> bool:
    try:
        return bool(
            stripe.WebhookSignature.verify_header(sample.body.decode(), sample.headers["Stripe-Signature"], key, 300)
        )
    except stripe.SignatureVerificationError:
        return False


def _stripe_signs(sample: Sample, key: str, at: datetime) -> dict[str, str]:
    header = stripe.WebhookSignature.generate_signature_header(sample.body.decode(), key, int(at.timestamp()))
    return {"Stripe-Signature": header}


def _slack_signs(sample: Sample, key: str, at: datetime) -> dict[str, str]:
    timestamp = str(int(at.timestamp()))
    signature = SignatureVerifier(key).generate_signature(timestamp=timestamp, body=sample.body)
    return {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": signature or ""}


def _standard(webhook: type[Any]) -> Accepts:
    def accepts(sample: Sample, key: str) -> bool:
        try:
            webhook(key).verify(sample.body, dict(sample.headers))
        except WebhookRefused:
            return False
        return True

    return accepts


def _standard_signs(webhook: type[Any], prefix: str) -> Signs:
    def signs(sample: Sample, key: str, at: datetime) -> dict[str, str]:
        signature = webhook(key).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, sample.body.decode())
        return {
            f"{prefix}-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            f"{prefix}-timestamp": str(int(at.timestamp())),
            f"{prefix}-signature": signature,
        }

    return signs


def _telnyx(sample: Sample, key: str) -> bool:
    try:
        verify_webhook_signature(sample.body, sample.headers, key)
    except WebhookVerificationError:
        return False
    return True


def _ed25519() -> SigningKey:
    return SigningKey(private_key("ed25519").private_bytes_raw())  # type: ignore[union-attr]


def _telnyx_signs(sample: Sample, _key: str, at: datetime) -> dict[str, str]:
    timestamp = str(int(at.timestamp()))
    signature = _ed25519().sign(timestamp.encode() + b"|" + sample.body, encoder=Base64Encoder).signature
    return {"Telnyx-Timestamp": timestamp, "Telnyx-Signature-Ed25519": signature.decode()}


def _discord(sample: Sample, key: str) -> bool:
    headers = sample.headers
    return bool(verify_key(sample.body, headers["X-Signature-Ed25519"], headers["X-Signature-Timestamp"], key))


def _discord_signs(sample: Sample, _key: str, at: datetime) -> dict[str, str]:
    timestamp = str(int(at.timestamp()))
    signature = _ed25519().sign(timestamp.encode() + sample.body, encoder=HexEncoder).signature
    return {"X-Signature-Timestamp": timestamp, "X-Signature-Ed25519": signature.decode()}


def _sendgrid(sample: Sample, key: str) -> bool:
    prefix = "X-Twilio-Email-Event-Webhook-"
    signature, timestamp = sample.headers[prefix + "Signature"], sample.headers[prefix + "Timestamp"]
    return bool(EventWebhook(key).verify_signature(sample.body.decode(), signature, timestamp))


def _plivo(sample: Sample, key: str) -> bool:
    return bool(
        validate_v3_signature(
            "POST",
            PUBLIC_URL + sample.path,
            sample.headers["X-Plivo-Signature-V3-Nonce"],
            key,
            sample.headers["X-Plivo-Signature-V3"],
            dict(parse_qsl(sample.body.decode())),
        )
    )


def _plivo_signs(sample: Sample, key: str, _at: datetime) -> dict[str, str]:
    url = construct_post_url(PUBLIC_URL + sample.path, dict(parse_qsl(sample.body.decode()))).decode()
    signature = get_signature_v3(key, url, "12345678901234567890")
    return {"X-Plivo-Signature-V3-Nonce": "12345678901234567890", "X-Plivo-Signature-V3": signature.decode()}


def _messagebird(sample: Sample, key: str) -> bool:
    token = sample.headers["MessageBird-Signature-JWT"]
    try:
        RequestValidator(key).validate_signature(token, PUBLIC_URL + sample.path, sample.body)
    except ValidationError:
        return False
    return True


def _vonage(sample: Sample, key: str) -> bool:
    token = sample.headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    # The SDK verifies the token and leaves the hash in it to its user, as the documentation says.
    return bool(vonage_accepts(token, key)) and _sha256(sample.body) == claims["payload_hash"]


def _sha256(content: bytes) -> str:
    return sha256(content).hexdigest()


def _vonage_signs(sample: Sample, key: str, at: datetime) -> dict[str, str]:
    claims = {"iat": int(at.timestamp()), "iss": "Vonage", "payload_hash": _sha256(sample.body), "api_key": "a1b2c3d"}
    return {"Authorization": "Bearer " + jwt.encode(claims, key, algorithm="HS256")}


_SINCH = "x-sinch-webhook-signature"


def _sinch_signs(sample: Sample, key: str, at: datetime) -> dict[str, str]:
    timestamp = str(int(at.timestamp()))
    signed = compute_signed_data(sample.body.decode(), "01FJA8B4A7BM43YGWSG9GBV067", timestamp)
    return {
        f"{_SINCH}-nonce": "01FJA8B4A7BM43YGWSG9GBV067",
        f"{_SINCH}-timestamp": timestamp,
        _SINCH: calculate_sinch_event_signature(signed, key),
    }


def _viber(sample: Sample, key: str) -> bool:
    return bool(_viber_bot(key).verify_signature(sample.body, sample.headers["X-Viber-Content-Signature"]))


def _viber_bot(key: str) -> Any:
    return Api(BotConfiguration(name="bot", avatar="", auth_token=key))


def _viber_signs(sample: Sample, key: str, _at: datetime) -> dict[str, str]:
    return {"X-Viber-Content-Signature": _viber_bot(key)._calculate_message_signature(sample.body)}


def _github(sample: Sample, key: str) -> bool:
    try:
        validate_event(sample.body, signature=sample.headers["X-Hub-Signature-256"], secret=key)
    except ValidationFailure:
        return False
    return True


def _square(sample: Sample, key: str) -> bool:
    return bool(
        square_accepts(
            request_body=sample.body.decode(),
            signature_header=sample.headers["X-Square-HmacSha256-Signature"],
            signature_key=key,
            notification_url=PUBLIC_URL + sample.path,
        )
    )


def _mailgun(sample: Sample, key: str) -> bool:
    signed = loads(sample.body)["signature"]
    return bool(SecurityGuard.verify_webhook(key, signed["token"], signed["timestamp"], signed["signature"]))


SDKS: Mapping[str, Sdk] = {
    "stripe": Sdk("stripe", _stripe, _stripe_signs),
    "slack": Sdk(
        "slack_sdk",
        lambda sample, key: SignatureVerifier(key).is_valid_request(sample.body, sample.headers),
        _slack_signs,
    ),
    "standard-webhooks": Sdk(
        "standardwebhooks", _standard(StandardWebhook), _standard_signs(StandardWebhook, "webhook")
    ),
    "svix": Sdk("svix", _standard(SvixWebhook), _standard_signs(SvixWebhook, "svix")),
    "telnyx": Sdk("telnyx", _telnyx, _telnyx_signs),
    "discord": Sdk("discord-interactions", _discord, _discord_signs),
    "discord-events": Sdk("discord-interactions", _discord, _discord_signs),
    "sendgrid": Sdk("sendgrid", _sendgrid),
    "plivo": Sdk("plivo", _plivo, _plivo_signs),
    "messagebird": Sdk("messagebird", _messagebird),
    "vonage": Sdk("vonage-jwt", _vonage, _vonage_signs),
    "sinch": Sdk(
        "sinch",
        lambda sample, key: validate_sinch_event_signature_with_nonce(key, dict(sample.headers), sample.body.decode()),
        _sinch_signs,
    ),
    "line": Sdk(
        "line-bot-sdk",
        lambda sample, key: SignatureValidator(key).validate(sample.body.decode(), sample.headers["X-Line-Signature"]),
    ),
    "viber": Sdk("viberbot", _viber, _viber_signs),
    "github": Sdk("gidgethub", _github),
    "square": Sdk("squareup", _square),
    "mailgun": Sdk("mailgun", _mailgun),
}
"""The judges, by the presets that they judge."""
