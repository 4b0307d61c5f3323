"""The WhatsApp Cloud API of Meta: batches of incoming messages and of statuses of outgoing ones.

Signature and handshake: https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/create-webhook-endpoint
Payloads: https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages
"""

import hmac
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from webhook_service.domain.acknowledgement import Acknowledgement
from webhook_service.domain.deliveries import Contents, Delivery, Unreadable
from webhook_service.domain.errors import PayloadInvalid, SignatureInvalid
from webhook_service.domain.limits import MESSAGE_ID_MAX, PARTY_MAX, WORD_MAX
from webhook_service.domain.messages import Message
from webhook_service.domain.receipts import Receipt
from webhook_service.domain.results import Reason
from webhook_service.providers.base import Provider, Sample
from webhook_service.providers.diagnosis import diagnose_hex_signature
from webhook_service.providers.fields import FieldInvalid, long_text, phone_number, short_text, unix_time
from webhook_service.providers.signatures import signing_secret
from webhook_service.providers.strict_json import loads_object

SIGNATURE_HEADER = "X-Hub-Signature-256"
OBJECT = "whatsapp_business_account"

_SIGNATURE = re.compile(r"sha256=([0-9a-fA-F]{64})")
_ITEMS = ("messages", "statuses", "errors")

# Since 2026 a sender or recipient may be known by a business-scoped ID alone, and a group's statuses name the group:
# https://developers.facebook.com/documentation/business-messaging/whatsapp/business-scoped-user-ids
_SENDER_FIELDS = ("from", "from_user_id")
_RECIPIENT_FIELDS = ("recipient_participant_id", "recipient_id", "recipient_user_id")
_CONTACT_FIELDS = ("wa_id", "user_id")

# The field with the words of a message, by its type; for an interactive one they are the title of what was chosen.
_TEXT_FIELDS = {
    "text": "body",
    "image": "caption",
    "video": "caption",
    "document": "caption",
    "button": "text",
    "reaction": "emoji",
    "order": "text",
}


def sign(secret: str, raw: bytes) -> bytes:
    """Returns the HMAC-SHA256 of a body with the app secret."""
    return hmac.digest(secret.encode(), raw, "sha256")


class WhatsApp(Provider):
    """A Meta app that is subscribed to a WhatsApp Business account."""

    name = "whatsapp"
    secret_setting = "WHATSAPP_APP_SECRET"  # noqa: S105  # a setting's name
    option_settings = ("WHATSAPP_VERIFY_TOKEN",)
    secret_options = option_settings
    accepts_unreadable = True

    def verify(self, delivery: Delivery) -> str:
        header = delivery.headers.get(SIGNATURE_HEADER)
        if not header:
            raise SignatureInvalid(Reason.MISSING_SIGNATURE)
        claimed = _SIGNATURE.fullmatch(header)
        if claimed is None:
            raise SignatureInvalid(Reason.MALFORMED_SIGNATURE)
        expected = ((label, sign(secret, delivery.raw)) for label, secret in self.secrets.labelled())
        return signing_secret(expected, [bytes.fromhex(claimed[1])])

    def parse(self, delivery: Delivery) -> Contents:
        payload = loads_object(delivery.raw)
        if payload.get("object") != OBJECT:
            raise PayloadInvalid(Reason.UNKNOWN_OBJECT, {"object": [f"Not {OBJECT}."]})
        return _Reading(delivery.received_at, partial(self.source_of, delivery=delivery)).read(payload)

    def handshake(self, parameters: Mapping[str, str]) -> Acknowledgement | None:
        token = parameters.get("hub.verify_token", "").encode("utf-8", "replace")
        known = hmac.compare_digest(token, self.options["WHATSAPP_VERIFY_TOKEN"].encode())
        if not known or parameters.get("hub.mode") != "subscribe":
            return None
        challenge = parameters.get("hub.challenge")
        return (
            None
            if challenge is None
            else Acknowledgement("text/plain; charset=utf-8", challenge.encode("utf-8", "replace"))
        )

    def diagnose(self, delivery: Delivery) -> str | None:
        return diagnose_hex_signature(delivery, SIGNATURE_HEADER, self.secrets)

    def sample(self, message: Message, path: str | None = None) -> Sample:
        path = path or self.default_path()
        body = json.dumps(_sample_payload(message), separators=(",", ":")).replace("/", "\\/").encode()
        signature = "sha256=" + sign(self.secrets.current, body).hex()
        return Sample(path, body, {"Content-Type": "application/json", SIGNATURE_HEADER: signature})


class _Reading:
    """One pass over a payload: everything in it becomes a message or a receipt, or is named as unreadable."""

    def __init__(self, received_at: datetime, source_of: Callable[[dict[str, Any]], str | None]) -> None:
        self._received_at = received_at
        self._source_of = source_of
        self._messages: list[Message] = []
        self._receipts: list[Receipt] = []
        self._unreadable: list[Unreadable] = []

    def read(self, payload: dict[str, Any]) -> Contents:
        around = _rest("delivery", payload, "object", "entry")
        for entry_at, entry in self._objects(payload, "entry"):
            around_entry = around | _rest("entry", entry, "changes")
            for change_at, change in self._objects(entry, "changes", entry_at):
                self._change(change, change_at, around_entry | _rest("change", change, "field", "value"))
        return Contents(tuple(self._messages), tuple(self._receipts), tuple(self._unreadable))

    def _change(self, change: dict[str, Any], at: str, around: dict[str, Any]) -> None:
        value = change.get("value")
        if change.get("field") != "messages":
            self._report(Reason.UNKNOWN_FIELD, at)
        elif not isinstance(value, dict):
            self._report(Reason.INVALID_FIELDS, f"{at}.value")
        elif not any(value.get(name) for name in _ITEMS):
            self._report(Reason.NO_ITEMS, f"{at}.value")
        else:
            self._value(value, f"{at}.value", around)

    def _value(self, value: dict[str, Any], at: str, around: dict[str, Any]) -> None:
        around = around | _rest("value", value, "messaging_product", "metadata", "contacts", *_ITEMS)
        if "metadata" in value:
            around["metadata"] = value["metadata"]
        source = self._source_of(value)
        contacts = _Contacts(self._objects(value, "contacts", at, optional=True))
        try:
            self._read_messages(value, at, around, contacts, source)
        except FieldInvalid as invalid:
            self._report_field(invalid, at)
        for where, status in self._objects(value, "statuses", at, optional=True):
            try:
                self._receipts.append(_receipt(status, contacts.add_to(around, status), self._received_at, source))
            except FieldInvalid as invalid:
                self._report_field(invalid, where)
        if value.get("errors"):
            self._report(Reason.PROVIDER_ERROR, f"{at}.errors")
        for where in contacts.unclaimed():
            self._report(Reason.NO_ITEMS, where)

    def _read_messages(
        self, value: dict[str, Any], at: str, around: dict[str, Any], contacts: "_Contacts", source: str | None
    ) -> None:
        messages = self._objects(value, "messages", at, optional=True)
        recipient = _business_number(value) if messages else ""
        for where, message in messages:
            try:
                extra = contacts.add_to(around, message)
                self._messages.append(_message(message, recipient, extra, self._received_at, source))
            except FieldInvalid as invalid:
                self._report_field(invalid, where)

    def _objects(
        self, parent: dict[str, Any], name: str, at: str = "", *, optional: bool = False
    ) -> list[tuple[str, dict[str, Any]]]:
        """Returns the objects in a list with their paths; reports what is no list or no object, or empty but needed."""
        where = f"{at}.{name}" if at else name
        items = parent.get(name, [] if optional else None)
        if not isinstance(items, list):
            self._report(Reason.INVALID_FIELDS, where)
            return []
        if not items and not optional:
            self._report(Reason.NO_ITEMS, where)
        objects = []
        for index, item in enumerate(items):
            if isinstance(item, dict):
                objects.append((f"{where}[{index}]", item))
            else:
                self._report(Reason.INVALID_FIELDS, f"{where}[{index}]")
        return objects

    def _report_field(self, invalid: FieldInvalid, item_at: str) -> None:
        self._report(Reason.INVALID_FIELDS, f"{item_at}.{invalid.field}")

    def _report(self, reason: Reason, where: str) -> None:
        self._unreadable.append(Unreadable(reason, where))


class _Contacts:
    """The contacts of a change; each belongs to the items that name it."""

    def __init__(self, contacts: list[tuple[str, dict[str, Any]]]) -> None:
        self._contacts = contacts
        self._by_id = {
            contact[name]: index
            for index, (_, contact) in enumerate(contacts)
            for name in _CONTACT_FIELDS
            if isinstance(contact.get(name), str)
        }
        self._claimed: set[int] = set()

    def add_to(self, around: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
        """Adds the contact of an item, if it has one, to the fields around the item.

        That is the contact whose ID the item names, or else the only one: a person's WhatsApp ID may differ from the
        number.
        """
        if not self._contacts:
            return around
        ids = (item.get(name) for name in (*_SENDER_FIELDS, *_RECIPIENT_FIELDS))
        only = 0 if len(self._contacts) == 1 else None
        index = next((self._by_id[key] for key in ids if isinstance(key, str) and key in self._by_id), only)
        if index is None:
            return around
        self._claimed.add(index)
        return {**around, "contact": self._contacts[index][1]}

    def unclaimed(self) -> list[str]:
        """Returns the paths of the contacts that no item named."""
        return [where for index, (where, _) in enumerate(self._contacts) if index not in self._claimed]


def _message(
    message: dict[str, Any], recipient: str, around: dict[str, Any], received_at: datetime, source: str | None
) -> Message:
    sender_field = _first_given(message, _SENDER_FIELDS)
    kind = short_text(message.get("type"), "type", WORD_MAX)
    text = _text(kind, message)
    columns = {"id", "timestamp", "type", sender_field}
    if kind == "text" and message["text"].keys() == {"body"}:
        columns.add("text")
    return Message(
        message_id=short_text(message.get("id"), "id", MESSAGE_ID_MAX),
        provider=WhatsApp.name,
        sender=phone_number(short_text(message.get(sender_field), sender_field, PARTY_MAX)),
        recipient=recipient,
        ts=unix_time(message.get("timestamp"), "timestamp"),
        received_at=received_at,
        text=text,
        type=kind,
        extra=_extra(message, columns, around),
        source=source,
    )


def _receipt(status: dict[str, Any], around: dict[str, Any], received_at: datetime, source: str | None) -> Receipt:
    recipient_field = _first_given(status, _RECIPIENT_FIELDS)
    return Receipt(
        message_id=short_text(status.get("id"), "id", MESSAGE_ID_MAX),
        provider=WhatsApp.name,
        status=short_text(status.get("status"), "status", WORD_MAX),
        recipient=phone_number(short_text(status.get(recipient_field), recipient_field, PARTY_MAX)),
        ts=unix_time(status.get("timestamp"), "timestamp"),
        received_at=received_at,
        error=_error(status),
        extra=_extra(status, {"id", "status", "timestamp", recipient_field}, around),
        source=source,
    )


def _business_number(value: dict[str, Any]) -> str:
    field = "metadata.display_phone_number"
    metadata = value.get("metadata")
    if not isinstance(metadata, dict):
        raise FieldInvalid(field)
    return phone_number(short_text(metadata.get("display_phone_number"), field, PARTY_MAX))


def _text(kind: str, message: dict[str, Any]) -> str | None:
    """Returns the words of a message: its body, caption, title or emoji; None when it has none."""
    if kind == "interactive":
        chosen = _member(message, kind)
        reply = short_text(chosen.get("type"), "interactive.type", WORD_MAX)
        holder, name, path = _member(chosen, reply, f"interactive.{reply}"), "title", f"interactive.{reply}.title"
    elif kind in _TEXT_FIELDS:
        holder, name, path = _member(message, kind), _TEXT_FIELDS[kind], f"{kind}.{_TEXT_FIELDS[kind]}"
    else:
        return None
    if name not in holder and kind != "text":
        return None
    return long_text(holder.get(name), path)


def _member(parent: dict[str, Any], name: str, path: str | None = None) -> dict[str, Any]:
    member = parent.get(name, {})
    if not isinstance(member, dict):
        raise FieldInvalid(path or name)
    return member


def _error(status: dict[str, Any]) -> str | None:
    """Returns the provider's errors as ``code: title``, such as ``131026: Message undeliverable``."""
    errors = status.get("errors")
    if errors is None and "errors" not in status:
        return None
    if not isinstance(errors, list) or not all(isinstance(error, dict) for error in errors):
        raise FieldInvalid("errors")
    said = (": ".join(_word(error[name]) for name in ("code", "title") if name in error) for error in errors)
    return "; ".join(said) or None


def _word(value: object) -> str:
    if isinstance(value, int):
        return str(value)
    return long_text(value, "errors")


def _first_given(item: dict[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        if item.get(name):
            return name
    return names[0]


def _rest(level: str, parent: dict[str, Any], *known: str) -> dict[str, Any]:
    """Returns the fields of a level of the payload that are not among ``known``, under the level's name."""
    rest = {name: value for name, value in parent.items() if name not in known}
    return {level: rest} if rest else {}


def _extra(item: dict[str, Any], columns: set[str], around: dict[str, Any]) -> dict[str, Any]:
    """Joins the fields of an item that have no column with those around it; no name may be in both."""
    rest = {name: value for name, value in item.items() if name not in columns}
    if taken := rest.keys() & around.keys():
        raise FieldInvalid(min(taken))
    return rest | around


def _sample_payload(message: Message) -> dict[str, Any]:
    sender, recipient = message.sender.removeprefix("+"), message.recipient.removeprefix("+")
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": recipient, "phone_number_id": "106540352242922"},
        "contacts": [{"profile": {"name": "Sample Sender"}, "wa_id": sender}],
        "messages": [
            {
                "from": sender,
                "id": message.message_id,
                "timestamp": str(int(message.ts.timestamp())),
                "text": {"body": message.text or ""},
                "type": "text",
            }
        ],
    }
    return {"object": OBJECT, "entry": [{"id": "102290129340398", "changes": [{"value": value, "field": "messages"}]}]}
