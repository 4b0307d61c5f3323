"""The whole inbox against a model, by whatever calls hypothesis thinks of, on both databases."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.fuzz.machines import run
from tests.fuzz.model import Item, Model, native_body, whatsapp_messages
from tests.support.app import application, deliver
from tests.support.deliveries import RECIPIENT, SECRET
from tests.support.stored import empty, opened
from tests.support.whatsapp import a_value, of_values
from webhook_service.domain.formats import format_timestamp
from webhook_service.domain.results import Outcome
from webhook_service.domain.secrets import Secrets
from webhook_service.providers.native import Native
from webhook_service.providers.whatsapp import SIGNATURE_HEADER, WhatsApp, sign
from webhook_service.storage.queries.deletion import TABLES, in_batches

STEPS = 25

MOMENTS = [datetime(2025, 1, 15, 10, tzinfo=UTC) + timedelta(minutes=30 * number) for number in range(4)]
SENDERS = ["+4915112345678", "+4915112345679"]
TEXTS = ["Hello", "hello there", "Grüße", "100%"]

ids = st.sampled_from(["a", "b", "B", "c/d", "wamid.1"])
moments, senders, texts = st.sampled_from(MOMENTS), st.sampled_from(SENDERS), st.sampled_from(TEXTS)
filters = st.fixed_dictionaries(
    {},
    optional={
        "from": senders,
        "to": st.sampled_from([RECIPIENT, SENDERS[0]]),
        "provider": st.sampled_from(["native", "whatsapp"]),
        "since": moments,
        "until": moments,
        "q": st.sampled_from(["HELLO", "grü", "%", "lo th", "nothing"]),
    },
)


def items(provider: str) -> st.SearchStrategy[Item]:
    """Messages of a provider, so few different ones that many are repeated or in conflict."""
    return st.builds(Item, ids, st.just(provider), senders, st.just(RECIPIENT), moments, texts)


class Inbox(RuleBasedStateMachine):
    """An application and a model that have to agree."""

    url: ClassVar[str]
    client: ClassVar[FlaskClient]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()

    @initialize()
    def start_empty(self) -> None:
        empty(self.url)

    @rule(item=items("native"))
    def deliver_native(self, item: Item) -> None:
        body = native_body(item)
        assert deliver(self.client, body).status_code == 200
        self.model.deliver("native", (item,), body)

    @rule(batch=st.lists(items("whatsapp"), min_size=1, max_size=3))
    def deliver_whatsapp(self, batch: list[Item]) -> None:
        body = json.dumps(of_values(a_value(messages=whatsapp_messages(batch)))).encode()
        signature = {SIGNATURE_HEADER: f"sha256={sign(SECRET, body).hex()}"}
        assert self.client.post("/webhook/whatsapp", data=body, headers=signature).status_code == 200
        self.model.deliver("whatsapp", tuple(batch), body)

    @rule(body=st.sampled_from([b"", b"{}", b"nonsense", b"\xff"]))
    def deliver_what_nobody_understands(self, body: bytes) -> None:
        assert deliver(self.client, body).status_code == 422
        self.model.deliver("native", (), body)

    @rule(item=items("native"))
    def deliver_unsigned(self, item: Item) -> None:
        assert self.client.post("/webhook", data=native_body(item)).status_code == 401

    @precondition(lambda self: self.model.kept)
    @rule(data=st.data(), rename=st.booleans())
    def replay(self, data: st.DataObject, *, rename: bool) -> None:
        kept = {entry["id"]: self._body(entry["id"]) for entry in self._quarantined()}
        entry_id = data.draw(st.sampled_from(sorted(kept)))
        answer = self.client.post(f"/quarantine/{entry_id}/replay?rename={str(rename).lower()}")
        outcomes = self.model.replay(kept[entry_id], rename=rename)
        assert answer.status_code == (422 if kept[entry_id] in self.model.kept else 200)
        assert {word: answer.get_json()[word] for word in Outcome} == {word: outcomes.count(word) for word in Outcome}

    @rule(before=moments)
    def prune(self, before: datetime) -> None:
        with opened(self.url) as database:
            for rows in TABLES["messages"].older_than(before):
                list(in_batches(database, rows.delete))
        self.model.prune(before)

    @rule(chosen=filters, descending=st.booleans(), limit=st.integers(1, 4))
    def read_pages(self, chosen: dict[str, Any], *, descending: bool, limit: int) -> None:
        asked = {
            name: format_timestamp(value) if isinstance(value, datetime) else value for name, value in chosen.items()
        }
        asked |= {"order": "desc" if descending else "asc", "limit": str(limit)}
        expected = [_shown(item) for item in self.model.select(chosen, descending=descending)]
        first = self.client.get(f"/messages?{urlencode(asked)}").get_json()
        assert first["total"] == len(expected)
        assert list(self._pages(asked)) == expected

    @rule(message_id=ids)
    def read_one(self, message_id: str) -> None:
        answer = self.client.get(f"/messages/{message_id}")
        item = self.model.stored.get(message_id)
        assert answer.status_code == (404 if item is None else 200)
        assert item is None or answer.get_json()["text"] == item.text

    @invariant()
    def the_feed_has_each_message_once_in_stored_order(self) -> None:
        assert [each["message_id"] for each in self.client.get("/feed").get_json()["data"]] == list(self.model.stored)

    @invariant()
    def the_counts_are_exact(self) -> None:
        stats = self.client.get("/stats").get_json()
        found = list(self.model.stored.values())
        assert (stats["total_messages"], stats["senders_count"]) == (len(found), len({each.sender for each in found}))

    @invariant()
    def the_quarantine_has_what_was_not_stored(self) -> None:
        entries = {self._body(entry["id"]): (entry["provider"], entry["count"]) for entry in self._quarantined()}
        assert entries == {body: (kept.provider, kept.count) for body, kept in self.model.kept.items()}

    def _quarantined(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.client.get("/quarantine?limit=100").get_json()["data"]
        return listed

    def _body(self, entry_id: int) -> bytes:
        return base64.b64decode(self.client.get(f"/quarantine/{entry_id}").get_json()["body_base64"])

    def _pages(self, asked: dict[str, str]) -> Iterator[dict[str, str]]:
        cursor: str | None = "*"
        while cursor is not None:
            page = self.client.get(f"/messages?{urlencode({**asked, 'cursor': cursor})}").get_json()
            yield from ({name: each[name] for name in _SHOWN} for each in page["data"])
            cursor = page["next_cursor"]


_SHOWN = ("message_id", "provider", "from", "to", "ts", "text")


def _shown(item: Item) -> dict[str, str]:
    values = (item.message_id, item.provider, item.sender, item.recipient, format_timestamp(item.ts), item.text)
    return dict(zip(_SHOWN, values, strict=True))


@pytest.mark.timeout(0)
def test_the_inbox_does_what_a_model_of_it_does(database_url: str) -> None:
    secrets = {Native.name: Secrets(SECRET), WhatsApp.name: Secrets(SECRET)}
    options = {Native.name: {}, WhatsApp.name: {"WHATSAPP_VERIFY_TOKEN": "token"}}
    with application(database_url, provider_secrets=secrets, provider_options=options) as client:
        run(Inbox, STEPS, url=database_url, client=client)
