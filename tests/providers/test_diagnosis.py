"""What the operator's log says of a refused signature."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.providers.test_every_provider import CURRENT, OPTIONS, OTHER, every_provider
from tests.support.provider_deliveries import MESSAGE, RECEIVED_AT, delivery_of, delivery_of_sample
from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.errors import SignatureInvalid
from webhook_service.domain.messages import Message
from webhook_service.domain.secrets import Secrets
from webhook_service.providers.base import Provider
from webhook_service.providers.native import Native
from webhook_service.providers.standard import Standard, decode_standard_secret, sign
from webhook_service.providers.twilio import Twilio
from webhook_service.providers.whatsapp import WhatsApp

signs_its_body = pytest.mark.parametrize("provider", [Native, Standard, WhatsApp], ids=lambda provider: provider.name)
signs_in_hex = pytest.mark.parametrize("provider", [Native, WhatsApp], ids=lambda provider: provider.name)


def a_delivery_to(provider: Provider, message: Message = MESSAGE) -> Delivery:
    sample = provider.sample(message)
    assert sample is not None
    return delivery_of_sample(sample)


def refused(provider: Provider, delivery: Delivery) -> str | None:
    """The hint for a delivery that is refused."""
    with pytest.raises(SignatureInvalid):
        provider.verify(delivery)
    return provider.diagnose(delivery)


@signs_its_body
@pytest.mark.parametrize("change", [lambda raw: raw + b"\n", lambda raw: raw + b"\r\n"])
def test_a_newline_that_was_added_on_the_way_is_named(
    provider: type[Provider], change: Callable[[bytes], bytes]
) -> None:
    receiver = provider(Secrets(CURRENT), OPTIONS)
    delivery = a_delivery_to(receiver)

    hint = refused(receiver, replace(delivery, raw=change(delivery.raw)))

    assert hint == "trailing_newline"


@signs_its_body
@pytest.mark.parametrize("indent", [None, 2])
def test_a_body_that_a_proxy_wrote_anew_is_named(provider: type[Provider], indent: int | None) -> None:
    receiver = provider(Secrets(CURRENT), OPTIONS)
    delivery = a_delivery_to(receiver)
    anew = json.dumps(json.loads(delivery.raw), indent=indent, ensure_ascii=False).encode()

    hint = refused(receiver, replace(delivery, raw=anew))

    assert hint == "reserialized_body"


@signs_in_hex
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_a_newline_that_was_signed_without_being_sent_is_named(provider: type[Provider], newline: bytes) -> None:
    receiver = provider(Secrets(CURRENT), OPTIONS)
    signature = hmac.digest(CURRENT.encode(), b'{"a": 1}' + newline, "sha256").hex()
    headers = {"X-Signature": signature, "X-Hub-Signature-256": f"sha256={signature}"}

    hint = refused(receiver, delivery_of(b'{"a": 1}', headers))

    assert hint == "trailing_newline"


@signs_in_hex
def test_a_signature_in_base64_is_named(provider: type[Provider]) -> None:
    receiver = provider(Secrets(CURRENT), OPTIONS)
    raw = b'{"a": 1}'
    signature = base64.b64encode(hmac.digest(CURRENT.encode(), raw, "sha256")).decode()
    headers = {"X-Signature": signature, "X-Hub-Signature-256": f"sha256={signature}"}

    hint = refused(receiver, delivery_of(raw, headers))

    assert hint == "base64_instead_of_hex"


@signs_in_hex
def test_a_newline_in_the_senders_secret_is_named(provider: type[Provider]) -> None:
    receiver = provider(Secrets("other", CURRENT), OPTIONS)
    sender = provider(Secrets(CURRENT + "\n"), OPTIONS)

    hint = refused(receiver, a_delivery_to(sender))

    assert hint == "secret_with_newline"


@every_provider
def test_nothing_is_said_of_a_signature_with_some_other_secret(provider: type[Provider]) -> None:
    receiver = provider(Secrets(CURRENT), OPTIONS)
    sender = provider(Secrets(OTHER), OPTIONS)

    hint = refused(receiver, a_delivery_to(sender))

    assert hint is None


LONG = replace(MESSAGE, text="x" * 2**16)


@signs_its_body
def test_a_large_body_is_not_tried_in_variants(provider: type[Provider]) -> None:
    receiver = provider(Secrets(CURRENT), OPTIONS)
    delivery = a_delivery_to(receiver, LONG)

    hint = refused(receiver, replace(delivery, raw=delivery.raw + b"\n"))

    assert hint is None


def test_a_large_form_is_not_tried_with_other_urls() -> None:
    receiver = Twilio(Secrets(CURRENT), {"PUBLIC_URL": "http://inbox.example.com"})
    delivery = a_delivery_to(Twilio(Secrets(CURRENT), {"PUBLIC_URL": "https://inbox.example.com"}), LONG)

    hint = refused(receiver, delivery)

    assert hint is None


@pytest.mark.parametrize("seconds", [-301, -86_400, 301, 86_400])
def test_the_skew_of_a_stale_timestamp_is_told_in_seconds(seconds: int) -> None:
    receiver = Standard(Secrets(CURRENT), {})
    sample = receiver.sample(replace(MESSAGE, received_at=RECEIVED_AT + timedelta(seconds=seconds)))

    hint = refused(receiver, delivery_of_sample(sample))

    assert hint == f"clock_skew {seconds:+d} s"


def standard_delivery(signature: str, raw: bytes = b"{}") -> Delivery:
    timestamp = str(int(RECEIVED_AT.timestamp()))
    headers = {"webhook-id": "msg_1", "webhook-timestamp": timestamp, "webhook-signature": f"v1,{signature}"}
    return delivery_of(raw, headers, target="/webhook/standard")


def test_a_standard_signature_in_hex_is_named() -> None:
    receiver = Standard(Secrets(CURRENT), {})
    timestamp = str(int(RECEIVED_AT.timestamp())).encode()

    hint = refused(receiver, standard_delivery(sign(decode_standard_secret(CURRENT), b"msg_1", timestamp, b"{}").hex()))

    assert hint == "hex_instead_of_base64"


@pytest.mark.parametrize("key", [f"whsec_{CURRENT}", CURRENT])
def test_a_standard_secret_that_was_not_decoded_is_named(key: str) -> None:
    receiver = Standard(Secrets(f"whsec_{CURRENT}"), {})
    timestamp = str(int(RECEIVED_AT.timestamp())).encode()
    signature = base64.b64encode(sign(key.encode(), b"msg_1", timestamp, b"{}")).decode()

    hint = refused(receiver, standard_delivery(signature))

    assert hint == "secret_not_decoded"


def test_a_standard_signature_over_the_body_alone_is_named() -> None:
    receiver = Standard(Secrets(CURRENT), {})
    signature = base64.b64encode(hmac.digest(decode_standard_secret(CURRENT), b"{}", "sha256")).decode()

    hint = refused(receiver, standard_delivery(signature))

    assert hint == "body_signed_alone"


@pytest.mark.parametrize(
    ("set_here", "set_at_twilio", "expected"),
    [
        ("https://inbox.example.com", "http://inbox.example.com", "other_scheme"),
        ("http://inbox.example.com/in", "https://inbox.example.com/in", "other_scheme"),
        ("https://inbox.example.com", "https://inbox.example.com:8443", "other_port"),
        ("https://inbox.example.com", "https://hooks.example.com", "other_host"),
        ("http://localhost:8000/in", "https://hooks.example.com/in", "other_host"),
        ("https://inbox.example.com/in", "https://inbox.example.com", "other_path"),
    ],
)
def test_what_is_wrong_with_public_url_is_named(set_here: str, set_at_twilio: str, expected: str) -> None:
    receiver = Twilio(Secrets(CURRENT), {"PUBLIC_URL": set_here})
    delivery = a_delivery_to(Twilio(Secrets(CURRENT), {"PUBLIC_URL": set_at_twilio}))
    host = set_at_twilio.removeprefix("https://").removeprefix("http://").partition("/")[0]
    headers = {name: delivery.headers.get(name) or "" for name in ("X-Twilio-Signature", "Content-Type")}

    hint = refused(receiver, replace(delivery, headers={**headers, "Host": host}))

    assert hint == expected


@pytest.mark.parametrize(
    ("called", "seen"), [("/webhook/twilio/", "/webhook/twilio"), ("/webhook/twilio", "/webhook/twilio?added=1")]
)
def test_a_path_that_a_proxy_changed_is_named(called: str, seen: str) -> None:
    receiver = Twilio(Secrets(CURRENT), OPTIONS)
    signature = hmac.new(CURRENT.encode(), f"https://inbox.example.com{called}".encode(), hashlib.sha1)
    headers = {"X-Twilio-Signature": base64.b64encode(signature.digest()).decode()}

    hint = refused(receiver, delivery_of(b"", headers, target=seen))

    assert hint == "other_path"
