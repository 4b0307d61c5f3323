"""A model of the inbox as simple as can be: dictionaries and lists, and what each call has to do to them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from webhook_service.domain.formats import format_timestamp
from webhook_service.domain.messages import Message
from webhook_service.domain.results import Outcome
from webhook_service.storage.queries.messages import encode_message, rename_message

_ANY_TIME = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Item:
    """The fields of a message that tell it from another."""

    message_id: str
    provider: str
    sender: str
    recipient: str
    ts: datetime
    text: str

    def renamed(self) -> "Item":
        """Returns the same message under an ID of its own."""
        said = (self.message_id, self.provider, self.sender, self.recipient, self.ts, _ANY_TIME, self.text)
        return replace(self, message_id=str(rename_message(encode_message(Message(*said)))[0]))


@dataclass(slots=True)
class Kept:
    """A delivery in quarantine."""

    provider: str
    items: tuple[Item, ...]
    count: int = 1


@dataclass(slots=True)
class Model:
    """The stored messages, in stored order, and the quarantined deliveries, by body."""

    stored: dict[str, Item] = field(default_factory=dict)
    kept: dict[bytes, Kept] = field(default_factory=dict)

    def deliver(self, provider: str, items: tuple[Item, ...], body: bytes) -> list[Outcome]:
        """Takes in a delivery; one without items is one that can't be understood."""
        outcomes = self._store(items)
        if not items or Outcome.CONFLICT in outcomes:
            kept = self.kept.get(body)
            if kept is None:
                self.kept[body] = Kept(provider, items)
            else:
                kept.count += 1
        return outcomes

    def replay(self, body: bytes, *, rename: bool) -> list[Outcome]:
        """Takes a kept delivery in again."""
        items = self.kept[body].items
        outcomes = self._store(items)
        if rename:
            conflicting = [place for place, outcome in enumerate(outcomes) if outcome is Outcome.CONFLICT]
            renamed = self._store(items[place].renamed() for place in conflicting)
            for place, outcome in zip(conflicting, renamed, strict=True):
                outcomes[place] = outcome
        if items and Outcome.CONFLICT not in outcomes:
            del self.kept[body]
        return outcomes

    def prune(self, before: datetime) -> None:
        """Deletes old messages."""
        self.stored = {message_id: item for message_id, item in self.stored.items() if item.ts >= before}

    def select(self, filters: dict[str, Any], *, descending: bool) -> list[Item]:
        """Finds the messages that pass the filters of ``/messages``, in its order."""
        found = [item for item in self.stored.values() if _passes(item, filters)]
        return sorted(found, key=lambda item: (item.ts, item.message_id.encode()), reverse=descending)

    def _store(self, items: Iterable[Item]) -> list[Outcome]:
        return [self._store_one(item) for item in items]

    def _store_one(self, item: Item) -> Outcome:
        if item.message_id not in self.stored:
            self.stored[item.message_id] = item
            return Outcome.CREATED
        return Outcome.DUPLICATE if self.stored[item.message_id] == item else Outcome.CONFLICT


def _passes(item: Item, filters: dict[str, Any]) -> bool:
    return (
        filters.get("from", item.sender) == item.sender
        and filters.get("to", item.recipient) == item.recipient
        and filters.get("provider", item.provider) == item.provider
        and filters.get("since", item.ts) <= item.ts
        and ("until" not in filters or item.ts < filters["until"])
        and filters.get("q", "").lower() in item.text.lower()
    )


def native_body(item: Item) -> bytes:
    """A native payload."""
    said = {"from": item.sender, "to": item.recipient, "ts": format_timestamp(item.ts), "text": item.text}
    return json.dumps({"message_id": item.message_id, **said}).encode()


def whatsapp_messages(items: Sequence[Item]) -> list[dict[str, Any]]:
    """Messages as WhatsApp sends them."""
    return [
        {
            "id": item.message_id,
            "from": item.sender.removeprefix("+"),
            "timestamp": str(int(item.ts.timestamp())),
            "type": "text",
            "text": {"body": item.text},
        }
        for item in items
    ]
