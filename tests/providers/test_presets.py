"""Each preset, held against what its judge signed or accepted, and against its own documentation."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.support.documented import DOCUMENTED
from tests.support.preset_keys import NAMES, PUBLIC_URL, declaration, provider, secret, signing_key, table
from tests.support.provider_deliveries import MESSAGE, RECEIVED_AT, delivery_of, delivery_of_sample
from tests.support.vectors import Vector, load
from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.errors import SignatureInvalid
from webhook_service.domain.limits import PROVIDER_MAX
from webhook_service.domain.secrets import DefaultLabel, Secrets
from webhook_service.providers.declared import CannotSign, DeclarationInvalid, Declared, load_declaration, merged
from webhook_service.providers.presets import EXAMPLES, PAGES, PRESETS

PUBLISHED = (
    # https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation
    Vector(
        "github",
        "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
        "documentation",
        "It's a Secret to Everybody",
        "/webhook/github",
        {"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
        "Hello, World!",
        "2026-03-01T12:00:00Z",
    ),
    # https://docs.slack.dev/authentication/verifying-requests-from-slack
    Vector(
        "slack",
        "https://docs.slack.dev/authentication/verifying-requests-from-slack",
        "documentation",
        "8f742231b10e8888abcd99yyyzzz85a5",
        "/webhook/slack",
        {
            "X-Slack-Request-Timestamp": "1531420618",
            "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
        "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        "&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        "&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        "&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
        "2018-07-12T18:36:58Z",
    ),
    # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    Vector(
        "standard-webhooks",
        "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
        "documentation",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "/webhook/standard-webhooks",
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        '{"test": 2432232314}',
        "2021-02-25T15:02:10Z",
    ),
)
VECTORS = (*load(), *PUBLISHED)

every_preset = pytest.mark.parametrize("name", NAMES)
every_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector.preset}-{vector.signed_by}")


def receiver(name: str, key: str, own: dict[str, Any] | None = None) -> Declared:
    return Declared(load_declaration(merged(table(name), own or {})), Secrets(key))


def documented(name: str) -> Delivery:
    """The example of a preset, signed as its documentation says."""
    content = EXAMPLES[name]
    now = int(RECEIVED_AT.timestamp())
    body = json.dumps(content).encode()
    target = f"/webhook/{name}"
    return delivery_of(body, DOCUMENTED[name](secret(name), target, body, now), target=target)


@every_vector
def test_what_the_judge_signed_or_accepted_is_accepted(vector: Vector) -> None:
    label = receiver(vector.preset, vector.secret).verify(vector.delivery)

    assert label is DefaultLabel.CURRENT


@every_vector
def test_it_is_refused_with_any_other_header_body_or_secret(vector: Vector) -> None:
    own = receiver(vector.preset, vector.secret)
    delivery = vector.delivery
    others = [
        replace(delivery, headers={**vector.headers, name: re.sub(r"\w(?=\W*\Z)", flipped, value)})
        for name, value in vector.headers.items()
        if name.lower() in names_of_signed_headers(own)
    ]
    if own.declaration.rules.signed.covers_body:
        others.append(replace(delivery, raw=delivery.raw + b" "))
    accepted = [other for other in others if passes(own, other)]

    assert accepted == []
    assert others or own.declaration.rules.signature.field


def names_of_signed_headers(own: Declared) -> set[str]:
    rules = own.declaration.rules
    names = {rules.signature.header or "", *rules.signed.argument("header")}
    return {name.lower() for name in names}


def flipped(match: re.Match[str]) -> str:
    """Another character of the same encodings, which changes bits that count in each."""
    return "A" if match[0] not in "Aa" else "5"


def passes(own: Declared, delivery: Delivery) -> bool:
    try:
        own.verify(delivery)
    except SignatureInvalid:
        return False
    return True


def one_character_less(template: str) -> Iterator[str]:
    """A template without each of its characters that are no placeholder's, and with one more at either end."""
    for literal in re.finditer(r"[^{}]+(?![^{}]*\})", template):
        for at in range(literal.start(), literal.end()):
            yield template[:at] + template[at + 1 :]
    yield template + "."
    yield "." + template


@pytest.mark.parametrize(
    "vector", [vector for vector in VECTORS if "signed" in PRESETS[vector.preset]["verify"]], ids=str
)
def test_one_other_byte_in_the_template_and_the_vector_is_refused(vector: Vector) -> None:
    template = PRESETS[vector.preset]["verify"]["signed"]
    changed = [
        receiver(vector.preset, vector.secret, {"verify": {"signed": other}}) for other in one_character_less(template)
    ]

    assert [own for own in changed if passes(own, vector.delivery)] == []
    assert len(changed) >= 2


def test_every_preset_has_a_judge() -> None:
    by_an_sdk = {vector.preset for vector in load()}

    assert by_an_sdk | DOCUMENTED.keys() == set(NAMES)
    assert {name for name, page in PAGES.items() if page["judge"] == "documentation"} == set(DOCUMENTED)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_what_is_signed_as_documented_is_accepted_and_what_is_altered_is_not(name: str) -> None:
    delivery = documented(name)

    assert provider(name).verify(delivery) is DefaultLabel.CURRENT
    with pytest.raises(SignatureInvalid, match="wrong_signature"):
        receiver(name, other_secret(name)).verify(delivery)
    if name != "telegram":
        assert not passes(provider(name), replace(delivery, raw=delivery.raw + b" "))


def other_secret(name: str) -> str:
    return "whpk_" + "A" * 42 + "E=" if name == "standard-webhooks-v1a" else "another"


@every_preset
def test_a_sample_is_verified_and_read_back(name: str) -> None:
    own = provider(name)
    sample = own.sample(replace(MESSAGE, provider=name))
    delivery = delivery_of_sample(sample)

    label, contents = own.verify(delivery), own.parse(delivery)

    assert label is DefaultLabel.CURRENT
    (message,) = contents.messages
    assert (message.provider, contents.unreadable) == (name, ())
    assert message.text in (MESSAGE.text, None)
    if "sha256" not in str(PRESETS[name]["payload"]["message_id"]) or name in ("messenger", "instagram", "sinch"):
        assert message.message_id == MESSAGE.message_id
    assert message.ts in (MESSAGE.ts, RECEIVED_AT)


@every_preset
def test_the_example_of_the_documentation_is_one_message(name: str) -> None:
    own = provider(name)
    signed = own.sample(replace(MESSAGE, provider=name))
    raw = signed.body if own.declaration.payload.is_form else json.dumps(EXAMPLES[name]).encode()

    contents = own.parse(replace(delivery_of_sample(signed), raw=raw))

    assert len(contents.messages) == 1
    assert contents.unreadable == ()


@every_preset
def test_its_name_fits_where_a_providers_name_is_stored(name: str) -> None:
    assert len(name) <= PROVIDER_MAX
    assert re.fullmatch(r"[a-z][a-z0-9-]*", name)
    assert provider(name).name == name


@every_preset
def test_its_tables_are_data_that_a_source_may_override(name: str) -> None:
    before = deepcopy(dict(PRESETS[name]))

    changed = load_declaration(merged(table(name), {"payload": {"to": "'me'"}}))

    assert PRESETS[name] == before
    assert changed.payload.recipient.search({}) == "me"


@pytest.mark.parametrize("name", [name for name in NAMES if signing_key(name)])
def test_without_the_providers_private_key_there_is_no_sample(name: str) -> None:
    with pytest.raises(CannotSign):
        receiver(name, secret(name)).sample(MESSAGE)


@pytest.mark.parametrize("name", [name for name in NAMES if "settings" in PAGES[name]])
def test_what_a_preset_needs_beside_its_secret_is_asked_for(name: str) -> None:
    with pytest.raises(DeclarationInvalid) as refused:
        load_declaration({"provider": name})

    assert {path[-1] for path, _ in refused.value.problems} <= {"signed", "url_sha256", "token"}


@pytest.mark.parametrize("name", [name for name in NAMES if "timestamp" in PRESETS[name]["verify"]])
def test_what_was_signed_a_day_ago_is_stale(name: str) -> None:
    own = provider(name)
    delivery = delivery_of_sample(own.sample(MESSAGE))

    with pytest.raises(SignatureInvalid, match="stale_timestamp"):
        own.verify(replace(delivery, received_at=RECEIVED_AT + timedelta(days=1)))
    assert own.diagnose(replace(delivery, received_at=RECEIVED_AT + timedelta(days=1))) == "clock_skew -86400 s"


@pytest.mark.parametrize("name", [name for name in NAMES if "{url}" in PRESETS[name]["verify"].get("signed", "")])
def test_another_host_is_named_in_the_log(name: str) -> None:
    sender = Declared(load_declaration(merged(table(name), {"public_url": "https://other.example"})), Secrets("x"))
    delivery = delivery_of_sample(sender.sample(MESSAGE))
    named = replace(delivery, headers={**dict(delivery.headers), "Host": "other.example"})  # type: ignore[call-overload]

    assert Declared(declaration(name), Secrets("x")).diagnose(named) == "other_host"
    assert PUBLIC_URL != "https://other.example"
