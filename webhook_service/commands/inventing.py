"""Invents traffic. Phone numbers are from ranges that are reserved for fiction, so they belong to nobody.

Ranges: Ofcom's numbers for drama (https://www.ofcom.org.uk/phones-and-broadband/phone-numbers/numbers-for-drama) and
555-0100 to 555-0199 of the North American Numbering Plan.
"""

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from webhook_service.domain.activity import Activity, DeliveryOutcome
from webhook_service.domain.deliveries import Contents
from webhook_service.domain.messages import Message
from webhook_service.domain.quarantine import Quarantined
from webhook_service.domain.receipts import Receipt
from webhook_service.domain.results import Reason
from webhook_service.domain.statistics import Interval
from webhook_service.intake.commit import DeliveryRows
from webhook_service.providers.registry import PROVIDERS

SPAN = timedelta(days=14)
SEED = 7
EVERY_OUTGOING = 8  # there is one outgoing message, with receipts, for this many incoming ones
EVERY_DUPLICATE = 23  # one delivery in this many comes twice
REFUSED: tuple[tuple[str, Reason, str | None, float], ...] = (
    ("standard", Reason.STALE_TIMESTAMP, None, 60),
    ("native", Reason.WRONG_SIGNATURE, "reserialized_body", 20),
    ("whatsapp", Reason.WRONG_SIGNATURE, None, 3.5),
    ("twilio", Reason.WRONG_SIGNATURE, "other_scheme", 0.4),
)
QUARANTINED: tuple[tuple[str, Reason, Mapping[str, list[str]], bytes, int], ...] = (
    (
        "native",
        Reason.INVALID_FIELDS,
        {"from": ["Not an E.164 number: a plus and 1 to 15 digits."], "ts": ["Missing data for required field."]},
        b'{"message_id": "order-7781", "from": "020 7946 0018", "to": "+442079460200", "text": "Parcel is late"}',
        12,
    ),
    (
        "whatsapp",
        Reason.UNKNOWN_FIELD,
        {"entry[0].changes[0]": [Reason.UNKNOWN_FIELD.value]},
        b'{"object": "whatsapp_business_account", "entry": [{"id": "0", "changes": [{"field": "account_alerts"}]}]}',
        2,
    ),
    ("native", Reason.NOT_UTF8, {"body": ["Not valid UTF-8: byte 24 is wrong."]}, b"message_id=7&text=hello\xff", 1),
)

_TEXTS = (
    "Hi! Is my order on its way?",
    "The parcel arrived, thank you 🎉",
    "Could we move the appointment to Thursday at 3 pm?",
    "Your code is 402 193. It is valid for 10 minutes.",
    "STOP",
    "Where can I find the invoice for March?",
    "Hallo, ich hätte gern einen Termin am Freitag.",
    "مرحبا، هل المتجر مفتوح اليوم؟",
    "Yes, please go ahead.",
    "The driver rang, but nobody was at the door. I have been home all day, so please try again tomorrow before noon.",
    "On my way, ten minutes late",
    "¿Tienen la talla 42 en azul?",
    "ありがとうございます",
    "Thanks for the quick reply!",
    "The pump in hall 2 reports 81 °C.",
)
_SENDERS = [
    *(f"+4477009001{number:02}" for number in range(18)),
    *(f"+120255501{number:02}" for number in range(10, 22)),
]
_INBOXES = {
    "whatsapp": "+442079460200",
    "twilio": "+12025550100",
    "native": "+442079460201",
    "standard": "+442079460202",
}
_PATHS = {provider.name: provider.default_path() for provider in PROVIDERS}
_SHARES = {"whatsapp": 55, "twilio": 25, "native": 14, "standard": 6}
_NAMES = ("Kim", "Alex", "Sam", "Robin", "Jo")


def invent_deliveries(count: int, now: datetime) -> list[DeliveryRows]:
    """Invents ``count`` messages up to ``now``, receipts for outgoing ones, and deliveries for the quarantine."""
    chance = random.Random(SEED)  # noqa: S311  # the same inbox each time
    messages = _messages(chance, count, now)
    batch = [DeliveryRows.encode(Contents(messages=(message,))) for message in messages]
    for number, message in enumerate(messages[::EVERY_OUTGOING]):
        batch.append(DeliveryRows.encode(_outgoing(chance, number, message.ts)))
    for provider, reason, problems, raw, times in QUARANTINED:
        headers = {"Content-Type": "application/json"}
        kept = Quarantined(provider, raw, headers, _PATHS[provider], reason, problems, now)
        batch += [DeliveryRows.encode(Contents(), quarantined=kept)] * times
    return batch


def invent_activity(count: int, now: datetime) -> list[Activity]:
    """Invents the activity of the deliveries with these messages, and of some that created none."""
    messages = _messages(random.Random(SEED), count, now)  # noqa: S311  # those of ``invent_deliveries``
    activity = [_created(message) for message in messages]
    for message in messages[::EVERY_DUPLICATE]:
        again = message.received_at + timedelta(seconds=20)
        activity.append(_activity(message.provider, DeliveryOutcome.DUPLICATE, min(again, now)))
    for provider, reason, _, _, times in QUARANTINED:
        moments = [now - timedelta(hours=7 * (number + 1)) for number in range(times)]
        activity += [_activity(provider, DeliveryOutcome.QUARANTINED, moment, reason) for moment in moments]
    for provider, reason, hint, hours in REFUSED:
        activity.append(_activity(provider, DeliveryOutcome.REFUSED, now - timedelta(hours=hours), reason, hint))
    return activity


def invent_arrival(chance: random.Random, now: datetime) -> tuple[DeliveryRows, Activity]:
    """Invents the arrival of a message at this moment."""
    message = _message(chance, int(now.timestamp() * 1000), now)
    return DeliveryRows.encode(Contents(messages=(message,))), _created(message)


def demo_ids() -> list[str]:
    """Returns the IDs that the first invented message may have."""
    return [_message_id(provider, 0) for provider in _SHARES]


def _messages(chance: random.Random, count: int, now: datetime) -> list[Message]:
    moments = sorted(now - SPAN * chance.random() ** 1.6 for _ in range(count))
    return [_message(chance, number, ts) for number, ts in enumerate(moments)]


def _created(message: Message) -> Activity:
    return _activity(message.provider, DeliveryOutcome.CREATED, message.received_at)


def _activity(
    source: str, outcome: DeliveryOutcome, at: datetime, reason: str | None = None, hint: str | None = None
) -> Activity:
    return Activity(source, outcome, Interval.HOUR.start_of(at), 1, at, reason, hint)


def _message(chance: random.Random, number: int, ts: datetime) -> Message:
    (provider,) = chance.choices(list(_SHARES), list(_SHARES.values()))
    sender = _SENDERS[min(int(chance.expovariate(0.12)), len(_SENDERS) - 1)]
    kind, text, extra = _content(chance, provider, number)
    return Message(
        message_id=_message_id(provider, number),
        provider=provider,
        sender=sender,
        recipient=_INBOXES[provider],
        ts=ts,
        received_at=ts + timedelta(milliseconds=chance.randint(180, 2400)),
        text=text,
        type=kind,
        extra=extra,
    )


def _message_id(provider: str, number: int) -> str:
    prefix = {"whatsapp": "wamid.demo", "twilio": "SMdemo"}.get(provider, "demo-")
    return f"{prefix}{number:06}"


def _content(chance: random.Random, provider: str, number: int) -> tuple[str, str | None, dict[str, Any] | None]:
    text = chance.choice(_TEXTS)
    if provider == "twilio":
        return "text", text, {"NumSegments": "1", "SmsStatus": "received", "FromCountry": "GB"}
    if provider != "whatsapp":
        return "text", text, {"order": {"number": 7000 + number, "items": [{"sku": "A-12", "quantity": 2}]}}
    profile = {"contacts": [{"profile": {"name": chance.choice(_NAMES)}}], "phone_number_id": "100000000000000"}
    if chance.random() < 0.15:
        picture = {"id": str(10**14 + number), "mime_type": "image/jpeg", "sha256": "0" * 44}
        return "image", None, {**profile, "image": picture}
    return "text", text, profile


def _outgoing(chance: random.Random, number: int, ts: datetime) -> Contents:
    """Invents the receipts of one outgoing message, which arrive in any order."""
    way = chance.choice((("sent", "delivered", "read"), ("sent", "delivered"), ("sent", "failed")))
    recipient = chance.choice(_SENDERS)
    receipts = [
        Receipt(
            message_id=f"wamid.out{number:05}",
            provider="whatsapp",
            status=status,
            recipient=recipient,
            ts=ts + timedelta(seconds=7 * step),
            received_at=ts + timedelta(seconds=7 * step + 1),
            error="131026 Message undeliverable" if status == "failed" else None,
        )
        for step, status in enumerate(way)
    ]
    chance.shuffle(receipts)
    return Contents(receipts=tuple(receipts))
