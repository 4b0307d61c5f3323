"""Twilio, held against the published vector and Twilio's own validator."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator
from werkzeug.datastructures import MultiDict

from tests.support.provider_deliveries import MESSAGE, RECEIVED_AT, delivery_of
from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.errors import PayloadInvalid, SignatureInvalid
from webhook_service.domain.messages import Message
from webhook_service.domain.receipts import Receipt
from webhook_service.domain.secrets import DefaultLabel, Secrets
from webhook_service.providers.twilio import Twilio

TOKEN = "12345"
SID = "SM0123456789abcdef0123456789abcdef"
INCOMING = {
    "AccountSid": "AC0123456789abcdef0123456789abcdef",
    "ApiVersion": "2010-04-01",
    "Body": "Is anyone there?",
    "From": "+14155550100",
    "FromCountry": "US",
    "MessageSid": SID,
    "NumMedia": "0",
    "NumSegments": "1",
    "SmsMessageSid": SID,
    "SmsSid": SID,
    "SmsStatus": "received",
    "To": "+14155550199",
}
STATUS = {
    "AccountSid": "AC0123456789abcdef0123456789abcdef",
    "ApiVersion": "2010-04-01",
    "From": "+14155550199",
    "MessageSid": SID,
    "MessageStatus": "delivered",
    "SmsSid": SID,
    "SmsStatus": "delivered",
    "To": "+14155550100",
}


def receiver(public_url: str = "https://inbox.example.com") -> Twilio:
    return Twilio(Secrets(TOKEN), {"PUBLIC_URL": public_url})


def form_delivery(
    fields: Mapping[str, str] | list[tuple[str, str]], signature: str = "", target: str = "/webhook/twilio"
) -> Delivery:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
    return delivery_of(urlencode(fields).encode(), headers, target=target)


def parsed_message(**changed: str) -> Message:
    (message,) = receiver().parse(form_delivery({**INCOMING, **changed})).messages
    return message


def parsed_receipt(**changed: str) -> Receipt:
    (receipt,) = receiver().parse(form_delivery({**STATUS, **changed})).receipts
    return receipt


def test_the_published_vector_passes() -> None:
    fields = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    delivery = form_delivery(fields, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", target="/myapp.php?foo=1&bar=2")

    label = receiver("https://mycompany.com").verify(delivery)

    assert label is DefaultLabel.CURRENT


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
forms = st.lists(st.tuples(texts.filter(bool) | st.sampled_from(sorted(INCOMING)), texts), max_size=12)
base_urls = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["inbox.example.com", "localhost", "192.0.2.7"]),
    st.sampled_from(["", ":443", ":80", ":8443"]),
    st.sampled_from(["", "/hooks", "/a/b"]),
)
targets = st.builds("/webhook/twilio{}".format, st.sampled_from(["", "?foo=1&bar=2", "?a=%C3%BC+b", "?q='x'"]))


def without_port(url: str) -> str:
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.partition(':')[0]}{slash}{path}"


@given(fields=forms, base_url=base_urls, target=targets, drops_port=st.booleans())
@settings(max_examples=200, deadline=None)
def test_what_twilios_validator_signs_passes_with_and_without_the_port(
    fields: list[tuple[str, str]], base_url: str, target: str, drops_port: bool
) -> None:
    signed_url = (without_port(base_url) if drops_port else base_url) + target
    signature = RequestValidator(TOKEN).compute_signature(signed_url, MultiDict(fields))

    label = receiver(base_url + "/").verify(form_delivery(fields, signature, target))

    assert label is DefaultLabel.CURRENT


@given(text=texts, base_url=base_urls)
@settings(max_examples=200, deadline=None)
def test_twilios_validator_accepts_what_is_signed_here(text: str, base_url: str) -> None:
    sample = receiver(base_url).sample(replace(MESSAGE, text=text))

    sent = dict(parse_qsl(sample.body.decode(), keep_blank_values=True))
    valid = RequestValidator(TOKEN).validate(base_url + sample.path, sent, sample.headers["X-Twilio-Signature"])

    assert valid
    assert sent["Body"] == text


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_changed_field_is_refused_here_and_by_twilios_validator(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(INCOMING)))
    value = data.draw(texts.filter(lambda text: text != INCOMING[name]))
    url = "https://inbox.example.com/webhook/twilio"
    signature = RequestValidator(TOKEN).compute_signature(url, INCOMING)
    mutated = {**INCOMING, name: value}

    with pytest.raises(SignatureInvalid, match="wrong_signature"):
        receiver().verify(form_delivery(mutated, signature))
    assert not RequestValidator(TOKEN).validate(url, mutated, signature)


@pytest.mark.parametrize("target", ["/webhook/twilio?", "/webhook/twilio/", "/webhook/twilio?a=1", "/webhook"])
def test_another_path_or_query_is_refused(target: str) -> None:
    signature = RequestValidator(TOKEN).compute_signature("https://inbox.example.com/webhook/twilio", INCOMING)

    with pytest.raises(SignatureInvalid, match="wrong_signature"):
        receiver().verify(form_delivery(INCOMING, signature, target))


def test_the_host_header_has_no_say() -> None:
    signature = RequestValidator(TOKEN).compute_signature("https://elsewhere.example.com/webhook/twilio", INCOMING)
    delivery = form_delivery(INCOMING, signature)
    headers = {"X-Twilio-Signature": signature, "Host": "elsewhere.example.com"}

    with pytest.raises(SignatureInvalid, match="wrong_signature"):
        receiver().verify(replace(delivery, headers=headers))


def json_delivery(body: bytes, claimed: bytes) -> Delivery:
    target = f"/webhook/twilio?bodySHA256={hashlib.sha256(claimed).hexdigest()}"
    signature = RequestValidator(TOKEN).compute_signature(f"https://inbox.example.com{target}", {})
    return delivery_of(body, {"Content-Type": "application/json", "X-Twilio-Signature": signature}, target=target)


def test_a_json_body_whose_hash_is_in_the_signed_url_passes_and_is_an_unknown_event() -> None:
    delivery = json_delivery(b'{"a": 1}', claimed=b'{"a": 1}')

    label = receiver().verify(delivery)

    assert label is DefaultLabel.CURRENT
    with pytest.raises(PayloadInvalid, match="unknown_event"):
        receiver().parse(delivery)


def test_a_json_body_with_another_hash_is_refused() -> None:
    with pytest.raises(SignatureInvalid, match="wrong_signature"):
        receiver().verify(json_delivery(b'{"a": 2}', claimed=b'{"a": 1}'))


def test_a_hash_in_the_url_does_not_stand_for_a_form() -> None:
    delivery = json_delivery(b"a=1", claimed=b"a=1")
    headers = {"X-Twilio-Signature": delivery.headers.get("X-Twilio-Signature") or ""}

    with pytest.raises(SignatureInvalid, match="wrong_signature"):
        receiver().verify(replace(delivery, headers=headers))


@pytest.mark.parametrize("header", ["AAAA", "é" * 28, base64.b64encode(b"x" * 32).decode(), "=" * 28, "A" * 28])
def test_a_signature_in_another_form_is_malformed(header: str) -> None:
    with pytest.raises(SignatureInvalid, match="malformed_signature"):
        receiver().verify(form_delivery(INCOMING, header))


@pytest.mark.parametrize(
    ("raw", "reason"), [(b"a=%ff", "not_utf8"), (b"\xff", "not_utf8"), (b"&" * 1000, "too_many_fields")]
)
def test_a_body_that_twilio_never_sends_is_refused_before_its_signature_is_computed(raw: bytes, reason: str) -> None:
    with pytest.raises(SignatureInvalid, match=reason):
        receiver().verify(delivery_of(raw, {"X-Twilio-Signature": base64.b64encode(b"x" * 20).decode()}))


def test_an_incoming_message_is_read() -> None:
    message = parsed_message()

    assert message == Message(
        message_id=SID,
        provider="twilio",
        sender="+14155550100",
        recipient="+14155550199",
        ts=RECEIVED_AT,
        received_at=RECEIVED_AT,
        text="Is anyone there?",
        type="text",
        extra={name: INCOMING[name] for name in INCOMING if name not in ("MessageSid", "From", "To", "Body")},
    )


def test_a_number_is_the_same_over_whatsapp_and_the_channel_is_kept() -> None:
    message = parsed_message(From="whatsapp:+14155550100", To="whatsapp:+14155550199", ProfileName="Night Owl")

    assert (message.sender, message.recipient) == ("+14155550100", "+14155550199")
    assert message.extra is not None
    assert (message.extra["channel"], message.extra["ProfileName"]) == ("whatsapp", "Night Owl")


@pytest.mark.parametrize("sender", ["12345", "EXAMPLECO", "messenger:1234567890", "whatsapp:US.13491208655302741918"])
def test_a_sender_without_a_number_is_stored_as_it_is(sender: str) -> None:
    assert parsed_message(From=sender).sender == sender


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"NumMedia": "1", "MediaContentType0": "image/jpeg", "MediaUrl0": "https://api.example.com/m"}, "image"),
        ({"NumMedia": "2", "MediaContentType0": "audio/ogg", "MediaContentType1": "image/png"}, "audio"),
        ({"NumMedia": "1", "MediaContentType0": "application/pdf"}, "document"),
        ({"NumMedia": "1"}, "document"),
        ({"MessageType": "location", "Latitude": "52.5", "Longitude": "13.4"}, "location"),
    ],
)
def test_a_type_is_twilios_own_or_that_of_the_first_medium(fields: dict[str, str], kind: str) -> None:
    message = parsed_message(Body="", **fields)

    assert (message.type, message.text) == (kind, None)
    assert message.extra is not None
    assert fields.items() <= message.extra.items()


def test_a_status_is_a_receipt() -> None:
    receipt = parsed_receipt()

    assert receipt == Receipt(
        message_id=SID,
        provider="twilio",
        status="delivered",
        recipient="+14155550100",
        ts=RECEIVED_AT,
        received_at=RECEIVED_AT,
        extra={name: STATUS[name] for name in STATUS if name not in ("MessageSid", "MessageStatus", "To")},
    )


@pytest.mark.parametrize("status", ["queued", "sent", "read", "canceled", "some_new_one"])
def test_a_status_of_any_name_is_kept(status: str) -> None:
    assert parsed_receipt(MessageStatus=status).status == status


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"ErrorCode": "30003"}, "30003"),
        ({"ErrorCode": "63016", "ErrorMessage": "Outside the window"}, "63016: Outside the window"),
        ({"ErrorCode": ""}, None),
    ],
)
def test_the_error_of_a_failed_message_is_told(fields: dict[str, str], error: str | None) -> None:
    assert parsed_receipt(MessageStatus="failed", **fields).error == error


def test_a_repeated_field_is_kept_as_a_list() -> None:
    (message,) = receiver().parse(form_delivery([*INCOMING.items(), ("New", "b"), ("New", "a")])).messages

    assert message.extra is not None
    assert message.extra["New"] == ["b", "a"]


@pytest.mark.parametrize("fields", [{"CallSid": "CA1", "CallStatus": "ringing"}, {}])
def test_what_is_neither_message_nor_status_is_an_unknown_event(fields: dict[str, str]) -> None:
    with pytest.raises(PayloadInvalid, match="unknown_event"):
        receiver().parse(form_delivery(fields))


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_a_surprise_in_any_field_never_fails_otherwise_than_as_an_invalid_payload(data: st.DataObject) -> None:
    fields = dict(data.draw(st.sampled_from([INCOMING, STATUS])))
    surprises = texts | st.sampled_from(["", "\x00", "x" * 300])
    pairs: list[tuple[str, str]] = list(fields.items())
    for name in data.draw(st.lists(st.sampled_from([*fields, "ErrorCode", "MessageType"]), max_size=3)):
        pairs = data.draw(st.sampled_from([pairs, [pair for pair in pairs if pair[0] != name]]))
        pairs = [*pairs, (name, data.draw(surprises))]

    try:
        contents = receiver().parse(form_delivery(pairs))
    except PayloadInvalid:
        return

    items: list[Any] = [*contents.messages, *contents.receipts]
    assert len(items) == 1
    assert all(1 <= len(getattr(items[0], name)) <= 255 for name in ("message_id", "recipient"))


@pytest.mark.parametrize(
    "url",
    ["x.example.com", "ftp://x", "https://", "https://x?y=1", "https://x#y", "https://x:99999", "https://x y", "//x"],
)
def test_a_public_url_that_is_no_base_is_reported(url: str) -> None:
    problems = Twilio.problems(Secrets(TOKEN), {"PUBLIC_URL": url})

    assert problems == [("PUBLIC_URL", "not the base of this service's URLs, such as https://inbox.example.com")]


@pytest.mark.parametrize("url", ["https://x", "http://x:8000/", "https://x/inbox/", "https://[2001:db8::1]:8443"])
def test_a_public_url_may_have_a_port_a_prefix_and_a_slash(url: str) -> None:
    assert Twilio.problems(Secrets(TOKEN), {"PUBLIC_URL": url}) == []


def test_the_acknowledgement_is_an_empty_twiml_document() -> None:
    assert Twilio.acknowledgement.content_type == "text/xml"
    assert Twilio.acknowledgement.body == b'<?xml version="1.0" encoding="UTF-8"?><Response/>'
