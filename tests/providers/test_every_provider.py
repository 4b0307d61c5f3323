"""What holds for each provider in the registry."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.provider_deliveries import MESSAGE, RECEIVED_AT, delivery_of, delivery_of_sample
from webhook_service.domain.errors import PayloadInvalid, SignatureInvalid
from webhook_service.domain.secrets import DefaultLabel, Secrets
from webhook_service.providers.base import Provider
from webhook_service.providers.registry import PROVIDERS

CURRENT, PREVIOUS, OTHER = "bmV3LXNlY3JldC0x", "b2xkLXNlY3JldC0x", "c29tZS1vdGhlci0x"
OPTIONS: Mapping[str, str] = {"PUBLIC_URL": "https://inbox.example.com", "WHATSAPP_VERIFY_TOKEN": "token"}

every_provider = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)


def signed_by(provider: type[Provider], secret: str) -> Mapping[str, str]:
    sample = provider(Secrets(secret), OPTIONS).sample(MESSAGE)
    assert sample is not None
    return sample.headers


@every_provider
@pytest.mark.parametrize(("secret", "label"), [(CURRENT, DefaultLabel.CURRENT), (PREVIOUS, DefaultLabel.PREVIOUS)])
def test_both_secrets_of_a_rotation_pass_and_are_told_apart(
    provider: type[Provider], secret: str, label: DefaultLabel
) -> None:
    receiver = provider(Secrets(CURRENT, PREVIOUS), OPTIONS)
    sample = provider(Secrets(secret), OPTIONS).sample(MESSAGE)
    assert sample is not None

    verified = receiver.verify(delivery_of_sample(sample))

    assert verified is label


@every_provider
def test_a_secret_that_is_rotated_out_is_refused(provider: type[Provider]) -> None:
    receiver = provider(Secrets(CURRENT), OPTIONS)
    sample = provider(Secrets(PREVIOUS), OPTIONS).sample(MESSAGE)
    assert sample is not None

    with pytest.raises(SignatureInvalid, match="wrong_signature"):
        receiver.verify(delivery_of_sample(sample))


@every_provider
def test_a_signature_over_other_bytes_is_refused(provider: type[Provider]) -> None:
    receiver = provider(Secrets(CURRENT, PREVIOUS), OPTIONS)
    sample = receiver.sample(MESSAGE)
    assert sample is not None
    delivery = delivery_of_sample(sample)

    with pytest.raises(SignatureInvalid, match="wrong_signature"):
        receiver.verify(replace(delivery, raw=delivery.raw.replace(b"Hello", b"Hallo")))


@every_provider
def test_a_delivery_without_a_signature_is_refused(provider: type[Provider]) -> None:
    receiver = provider(Secrets(CURRENT), OPTIONS)

    with pytest.raises(SignatureInvalid, match="missing_"):
        receiver.verify(delivery_of(b"{}", {}))


@every_provider
def test_a_sample_is_read_back_as_the_message_it_was_made_of(provider: type[Provider]) -> None:
    receiver = provider(Secrets(CURRENT), OPTIONS)
    sample = receiver.sample(MESSAGE)
    assert sample is not None

    contents = receiver.parse(delivery_of_sample(sample))

    (message,) = contents.messages
    kept = ("message_id", "sender", "recipient", "text", "type")
    assert [getattr(message, name) for name in kept] == [getattr(MESSAGE, name) for name in kept]
    assert message.provider == provider.name
    assert message.ts in (MESSAGE.ts, RECEIVED_AT)
    assert (contents.receipts, contents.unreadable) == ((), ())


headers = st.text(max_size=200) | st.sampled_from(
    ["é" * 64, "sha256=" + "f" * 64, "v1," * 500, "v1,=", "=" * 28, "A" * 28, "1" * 5000, "²" * 10, "\x00", "-1", "+1"]
)


@every_provider
@given(data=st.data())
@settings(deadline=None)
def test_junk_in_the_headers_is_an_invalid_signature_and_never_another_failure(
    provider: type[Provider], data: st.DataObject
) -> None:
    receiver = provider(Secrets(CURRENT, PREVIOUS), OPTIONS)
    names = sorted({*signed_by(provider, CURRENT), "Host", "X-Forwarded-Host"})
    junk = {name: data.draw(headers) for name in data.draw(st.lists(st.sampled_from(names), unique=True))}
    delivery = delivery_of(data.draw(st.binary(max_size=50)), {}, target=data.draw(st.text(max_size=50)))
    delivery = replace(delivery, headers=junk)

    with pytest.raises(SignatureInvalid):
        receiver.verify(delivery)
    hint = receiver.diagnose(delivery)

    assert hint is None


@every_provider
def test_megabytes_of_signature_are_refused(provider: type[Provider]) -> None:
    receiver = provider(Secrets(CURRENT), OPTIONS)
    enormous = {**dict.fromkeys(signed_by(provider, CURRENT), "v1,AAAA " * 500_000), "webhook-timestamp": "1"}

    with pytest.raises(SignatureInvalid, match="malformed_signature"):
        receiver.verify(delivery_of(b"{}", enormous))


@every_provider
@given(raw=st.binary(max_size=200))
@settings(deadline=None)
def test_junk_in_the_body_is_an_invalid_payload_and_never_another_failure(provider: type[Provider], raw: bytes) -> None:
    receiver = provider(Secrets(CURRENT), OPTIONS)

    with pytest.raises(PayloadInvalid):
        receiver.parse(delivery_of(raw, {}))


@every_provider
@pytest.mark.parametrize("raw", [b"[" * 20_000, b'{"a":' * 20_000 + b"1" + b"}" * 20_000, b"&" * 100_000, b""])
def test_a_hostile_body_is_an_invalid_payload(provider: type[Provider], raw: bytes) -> None:
    receiver = provider(Secrets(CURRENT), OPTIONS)

    with pytest.raises(PayloadInvalid):
        receiver.parse(delivery_of(raw, {}))
