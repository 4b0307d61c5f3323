"""A stranger adds an invented provider by following ``docs/providers/declaring.md``: its specification and its file."""

import base64
import hashlib
import hmac
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.providers.pages import DOCS
from tests.support.provider_deliveries import MESSAGE, RECEIVED_AT, delivery_of, delivery_of_sample
from webhook_service.domain.errors import SignatureInvalid
from webhook_service.domain.secrets import DefaultLabel, Secrets
from webhook_service.providers.declarations.rules import ALGORITHMS, ENCODINGS
from webhook_service.providers.declared import KEYS, Declared, load_declaration

PAGE = (DOCS / "providers" / "declaring.md").read_text()
CONFIGURED_ELSEWHERE = {"secrets"}


@pytest.fixture
def table() -> Mapping[str, Any]:
    (text,) = re.findall(r"```toml\n(.+?)```", PAGE, re.DOTALL)
    source: dict[str, Any] = tomllib.loads(text)["sources"]["harbour"]
    return {key: value for key, value in source.items() if key not in CONFIGURED_ELSEWHERE}


@pytest.fixture
def body() -> bytes:
    specification = re.sub(r"\n> ", " ", PAGE)
    (example,) = re.findall(r"as JSON: `(.+?)`", specification)
    return str(example).encode()


@pytest.fixture
def harbour(table: Mapping[str, Any]) -> Declared:
    return Declared(load_declaration(table), Secrets("the key"))


def seal(body: bytes, at: datetime = RECEIVED_AT, key: bytes = b"the key") -> dict[str, str]:
    """The header as the specification describes it."""
    time = str(int(at.timestamp()))
    made = hmac.new(key, time.encode() + b":" + body, hashlib.sha256).digest()
    return {"Harbour-Seal": f"at={time};seal={base64.b64encode(made).decode()}"}


def test_a_delivery_as_specified_is_the_message_that_the_page_promises(harbour: Declared, body: bytes) -> None:
    delivery = delivery_of(body, seal(body))

    label = harbour.verify(delivery)
    (message,) = harbour.parse(delivery).messages

    assert label is DefaultLabel.CURRENT
    assert (message.message_id, message.sender, message.recipient) == ("4711", "9074729", "Hamburg")
    assert (message.text, message.ts) == ("Moored", datetime.fromtimestamp(1772366398, UTC))
    assert message.extra == {"ship": {"imo": "9074729"}, "draught": 11.2}


def test_what_the_specification_rules_out_is_refused(harbour: Declared, body: bytes) -> None:
    old = delivery_of(body, seal(body, RECEIVED_AT - timedelta(minutes=6)))
    for delivery, reason in [
        (delivery_of(body + b" ", seal(body)), "wrong_signature"),
        (delivery_of(body, seal(body, key=b"another")), "wrong_signature"),
        (delivery_of(body, {}), "missing_signature"),
        (old, "stale_timestamp"),
    ]:
        with pytest.raises(SignatureInvalid, match=reason):
            harbour.verify(delivery)


def test_a_sample_is_signed_as_specified(harbour: Declared) -> None:
    sample = harbour.sample(replace(MESSAGE, message_id="4712"))

    assert sample.headers["Harbour-Seal"] == seal(sample.body)["Harbour-Seal"]
    assert harbour.parse(delivery_of_sample(sample)).messages[0].message_id == "4712"


def test_the_page_names_every_word_of_the_grammar() -> None:
    algorithms = {name for names in ALGORITHMS.values() for name in names}
    words = (KEYS - {"provider"}) | ALGORITHMS.keys() | algorithms | set(ENCODINGS)

    assert sorted(word for word in words if f"`{word}`" not in PAGE) == []
