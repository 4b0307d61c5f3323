"""The deliveries of each provider: the headers that prove them, the body, and the answer."""

from dataclasses import dataclass, field
from typing import Any

from webhook_service.contract.answer_schemas import StatusSchema
from webhook_service.contract.descriptions import Answers, json, text
from webhook_service.contract.parameters import signature
from webhook_service.contract.payloads import NATIVE_EXAMPLE, TWILIO_EXAMPLE, WHATSAPP_EXAMPLE
from webhook_service.providers import native, standard, twilio, whatsapp
from webhook_service.providers.base import Provider

_HEX = "9f2a6c1d" * 8
_BASE64 = "K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="
_STORED = "It is on disk."


@dataclass(frozen=True, slots=True)
class Signed:
    """The deliveries of a provider; ``body`` is a request body whose schema is a component."""

    sender: str
    headers: tuple[dict[str, Any], ...]
    body: dict[str, Any]
    answers: Answers = field(default_factory=dict)


def _body(content_type: str, schema: str, example: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {content_type: {"schema": schema, "example": example}}}


SIGNED: dict[type[Provider], Signed] = {
    native.Native: Signed(
        "Native",
        (
            signature(
                native.SIGNATURE_HEADER,
                "Hex HMAC-SHA256 of the body's bytes with `WEBHOOK_SECRET`; `sha256=` before it is taken too.",
                _HEX,
            ),
        ),
        _body("application/json", "NativePayload", NATIVE_EXAMPLE),
        {"200": json(StatusSchema, _STORED), "422": "InvalidPayload"},
    ),
    standard.Standard: Signed(
        "Standard Webhooks",
        (
            signature(standard.ID_HEADER, "The delivery's ID, which is signed too.", "msg_m1"),
            signature(
                standard.TIMESTAMP_HEADER, "Seconds since 1970, at most 5 minutes from the service's clock.", "1"
            ),
            signature(
                standard.SIGNATURE_HEADER, "`v1,` and the base64 HMAC-SHA256 of ID, time and body.", f"v1,{_BASE64}"
            ),
        ),
        _body("application/json", "NativePayload", NATIVE_EXAMPLE),
        {"200": json(StatusSchema, _STORED), "422": "InvalidPayload", "404": "NotConfigured"},
    ),
    whatsapp.WhatsApp: Signed(
        "WhatsApp Cloud API",
        (signature(whatsapp.SIGNATURE_HEADER, "`sha256=` and the hex HMAC-SHA256 of the body.", f"sha256={_HEX}"),),
        _body("application/json", "WhatsAppPayload", WHATSAPP_EXAMPLE),
        {"200": json(StatusSchema, f"{_STORED} What is not understood is in quarantine."), "404": "NotConfigured"},
    ),
    twilio.Twilio: Signed(
        "Twilio",
        (
            signature(
                twilio.SIGNATURE_HEADER, "Base64 HMAC-SHA1 of the URL and every field.", "MGEyYjNjNGQ1ZTZmNzg5MGExYjI="
            ),
        ),
        _body("application/x-www-form-urlencoded", "TwilioPayload", TWILIO_EXAMPLE),
        {
            "200": text("text/xml", f"{_STORED} What is not understood is in quarantine."),
            "404": "NotConfigured",
        },
    ),
}
