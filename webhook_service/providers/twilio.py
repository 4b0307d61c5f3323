"""Twilio Programmable Messaging: each delivery is one incoming message, or one status of an outgoing one.

Signature: https://www.twilio.com/docs/usage/webhooks/webhooks-security
Parameters: https://www.twilio.com/docs/messaging/guides/webhook-request
Statuses: https://www.twilio.com/docs/messaging/guides/track-outbound-message-status
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from webhook_service.domain.acknowledgement import Acknowledgement
from webhook_service.domain.deliveries import Contents, Delivery
from webhook_service.domain.errors import PayloadInvalid, SignatureInvalid
from webhook_service.domain.formats import E164
from webhook_service.domain.limits import MESSAGE_ID_MAX, PARTY_MAX, WORD_MAX
from webhook_service.domain.messages import Message
from webhook_service.domain.receipts import Receipt
from webhook_service.domain.results import Reason
from webhook_service.domain.secrets import Secrets
from webhook_service.providers.base import Provider, Sample, SettingProblem
from webhook_service.providers.diagnosis import LARGEST_BODY
from webhook_service.providers.fields import FieldInvalid, long_text, short_text
from webhook_service.providers.forms import Form, FormInvalid, read_fields, to_form
from webhook_service.providers.signatures import from_base64, signing_secret
from webhook_service.providers.urls import difference, is_base_url, other_urls, with_and_without_port

SIGNATURE_HEADER = "X-Twilio-Signature"
PUBLIC_URL = "PUBLIC_URL"

_DIGEST_BYTES = 20
_INCOMING = ("receiving", "received")
_CHANNEL_AND_NUMBER = re.compile(rf"([a-z]+):({E164})")
_BODY_HASH = re.compile(r"[?&]bodySHA256=([0-9a-fA-F]{64})(?:&|\Z)")
_MEDIA = ("image", "audio", "video")


def sign(token: str, url: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """Returns the HMAC-SHA1 of a URL and the form's fields, sorted by name and value, each once."""
    signed = url + "".join(name + value for name, value in sorted(set(fields)))
    return hmac.digest(token.encode(), signed.encode("utf-8", "surrogatepass"), "sha1")


class Twilio(Provider):
    """A Twilio account whose numbers or messaging services point here."""

    name = "twilio"
    secret_setting = "TWILIO_AUTH_TOKEN"  # noqa: S105  # a setting's name
    option_settings = (PUBLIC_URL,)
    acknowledgement = Acknowledgement("text/xml", b'<?xml version="1.0" encoding="UTF-8"?><Response/>')
    accepts_unreadable = True

    def __init__(self, secrets: Secrets, options: Mapping[str, str]) -> None:
        super().__init__(secrets, options)
        self._base_urls = with_and_without_port(options[PUBLIC_URL])

    @classmethod
    def problems(cls, _secrets: Secrets, options: Mapping[str, str]) -> list[SettingProblem]:
        url = options.get(PUBLIC_URL)
        if url is None or is_base_url(url):
            return []
        return [SettingProblem(PUBLIC_URL, "not the base of this service's URLs, such as https://inbox.example.com")]

    def verify(self, delivery: Delivery) -> str:
        claimed = _claimed_signature(delivery)
        fields = _signed_fields(delivery)
        expected = (
            (label, sign(token, base_url + delivery.target, fields))
            for label, token in self.secrets.labelled()
            for base_url in self._base_urls
        )
        return signing_secret(expected, [claimed])

    def parse(self, delivery: Delivery) -> Contents:
        try:
            form = to_form(read_fields(delivery.raw))
        except FormInvalid as invalid:
            raise PayloadInvalid(invalid.reason, {"body": ["Not a form."]}) from None
        try:
            return _contents(form, delivery.received_at, self.source_of(form, delivery))
        except FieldInvalid as invalid:
            raise PayloadInvalid(Reason.INVALID_FIELDS, {invalid.field: ["Missing or not storable."]}) from None

    def diagnose(self, delivery: Delivery) -> str | None:
        try:
            claimed, fields = _claimed_signature(delivery), _signed_fields(delivery)
        except SignatureInvalid:
            return None
        if len(delivery.raw) > LARGEST_BODY:
            return None
        for url in other_urls(self.options[PUBLIC_URL], delivery):
            for _, token in self.secrets.labelled():
                if hmac.compare_digest(sign(token, url, fields), claimed):
                    return difference(url, self._base_urls[0] + delivery.target)
        return None

    def sample(self, message: Message, path: str | None = None) -> Sample:
        path = path or self.default_path()
        fields = {
            "AccountSid": "AC" + "0" * 32,
            "ApiVersion": "2010-04-01",
            "Body": message.text or "",
            "From": message.sender,
            "MessageSid": message.message_id,
            "NumMedia": "0",
            "NumSegments": "1",
            "SmsStatus": "received",
            "To": message.recipient,
        }
        signature = sign(self.secrets.current, self._base_urls[0] + path, fields.items())
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            SIGNATURE_HEADER: base64.b64encode(signature).decode(),
        }
        return Sample(path, urlencode(fields).encode(), headers)


def _contents(form: Form, received_at: datetime, source: str | None) -> Contents:
    status = form.get("MessageStatus") or form.get("SmsStatus")
    if status in _INCOMING or (status is None and "Body" in form):
        return Contents(messages=(_message(form, received_at, source),))
    if status is not None:
        return Contents(receipts=(_receipt(form, received_at, source),))
    raise PayloadInvalid(Reason.UNKNOWN_EVENT, {"MessageStatus": ["Neither an incoming message nor a status."]})


def _message(form: Form, received_at: datetime, source: str | None) -> Message:
    body = long_text(form.get("Body", ""), "Body")
    return Message(
        message_id=short_text(form.get("MessageSid"), "MessageSid", MESSAGE_ID_MAX),
        provider=Twilio.name,
        sender=_address(form, "From")[1],
        recipient=_address(form, "To")[1],
        ts=received_at,
        received_at=received_at,
        text=body or None,
        type=_type(form),
        extra=_extra(form, "MessageSid", "From", "To", "Body"),
        source=source,
    )


def _receipt(form: Form, received_at: datetime, source: str | None) -> Receipt:
    field = "MessageStatus" if form.get("MessageStatus") else "SmsStatus"
    error = ": ".join(long_text(form[name], name) for name in ("ErrorCode", "ErrorMessage") if form.get(name))
    return Receipt(
        message_id=short_text(form.get("MessageSid"), "MessageSid", MESSAGE_ID_MAX),
        provider=Twilio.name,
        status=short_text(form.get(field), field, WORD_MAX),
        recipient=_address(form, "To")[1],
        ts=received_at,
        received_at=received_at,
        error=error or None,
        extra=_extra(form, "MessageSid", "To", field),
        source=source,
    )


def _address(form: Form, field: str) -> tuple[str | None, str]:
    """Returns an address as (channel, number), so that a number is the same in all channels; None if it names none."""
    address = short_text(form.get(field), field, PARTY_MAX)
    split = _CHANNEL_AND_NUMBER.fullmatch(address)
    return (split[1], split[2]) if split else (None, address)


def _type(form: Form) -> str:
    """Returns the type that Twilio names, or else that of the first medium, in WhatsApp's words."""
    if form.get("MessageType"):
        return short_text(form["MessageType"], "MessageType", WORD_MAX)
    if form.get("NumMedia", "0") == "0":
        return "text"
    kind = str(form.get("MediaContentType0", "")).partition("/")[0]
    return kind if kind in _MEDIA else "document"


def _extra(form: Form, *columns: str) -> dict[str, Any]:
    """Returns the fields that have no column, and the channel that was cut off the address."""
    rest = {name: value for name, value in form.items() if name not in columns}
    channel = _address(form, "To")[0]
    return {**rest, "channel": channel} if channel else rest


def _claimed_signature(delivery: Delivery) -> bytes:
    header = delivery.headers.get(SIGNATURE_HEADER)
    if not header:
        raise SignatureInvalid(Reason.MISSING_SIGNATURE)
    claimed = from_base64(header, _DIGEST_BYTES)
    if claimed is None:
        raise SignatureInvalid(Reason.MALFORMED_SIGNATURE)
    return claimed


def _signed_fields(delivery: Delivery) -> list[tuple[str, str]]:
    """Returns the fields that the signature covers: none for a JSON body, whose hash is in the signed URL."""
    claimed_hash = _BODY_HASH.search(delivery.target)
    if claimed_hash and (delivery.headers.get("Content-Type") or "").startswith("application/json"):
        if not hmac.compare_digest(hashlib.sha256(delivery.raw).hexdigest(), claimed_hash[1].lower()):
            raise SignatureInvalid(Reason.WRONG_SIGNATURE)
        return []
    try:
        return read_fields(delivery.raw)
    except FormInvalid as invalid:
        raise SignatureInvalid(invalid.reason) from None
