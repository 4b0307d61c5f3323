"""The native provider: what its signatures prove, and what its payloads mean."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.deliveries import payload, to_bytes
from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.errors import PayloadInvalid, SignatureInvalid
from webhook_service.domain.results import Reason
from webhook_service.domain.secrets import DefaultLabel, Secrets
from webhook_service.providers.native import Native, sign

RECEIVED_AT = datetime(2025, 1, 15, 10, 0, 1, tzinfo=UTC)
NATIVE = Native(Secrets("current", "previous"), {})


def delivery(raw: bytes, headers: Mapping[str, str]) -> Delivery:
    return Delivery(source="native", raw=raw, headers=headers, target="/webhook", received_at=RECEIVED_AT)


def refusal(raw: bytes, headers: Mapping[str, str]) -> Reason:
    with pytest.raises(SignatureInvalid) as refused:
        NATIVE.verify(delivery(raw, headers))
    return refused.value.reason


@given(st.binary())
def test_a_signature_is_the_hex_hmac_sha256_of_the_bytes(raw: bytes) -> None:
    expected = hmac.new(b"current", raw, hashlib.sha256).hexdigest()

    assert sign("current", raw) == expected
    assert NATIVE.verify(delivery(raw, {"X-Signature": expected})) is DefaultLabel.CURRENT


@given(st.binary(), st.binary())
def test_a_signature_over_other_bytes_is_refused(raw: bytes, other: bytes) -> None:
    headers = {"X-Signature": sign("current", raw + b"." + other)}

    assert refusal(raw, headers) is Reason.WRONG_SIGNATURE


@given(raw=st.binary(), claimed=st.text())
def test_no_text_passes_for_a_signature(raw: bytes, claimed: str) -> None:
    with pytest.raises(SignatureInvalid):
        NATIVE.verify(delivery(raw, {"X-Signature": claimed}))


def test_the_previous_secret_still_counts_while_it_is_set() -> None:
    headers = {"X-Signature": sign("previous", b"{}")}

    assert NATIVE.verify(delivery(b"{}", headers)) is DefaultLabel.PREVIOUS


def test_the_previous_secret_is_refused_once_it_is_unset() -> None:
    headers = {"X-Signature": sign("previous", b"{}")}

    with pytest.raises(SignatureInvalid):
        Native(Secrets("current"), {}).verify(delivery(b"{}", headers))


@pytest.mark.parametrize("spelling", ["{}", "sha256={}", "SHA256={}", " {} "])
@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_a_signature_is_taken_in_every_common_spelling(spelling: str, case: Callable[[str], str]) -> None:
    signature = case(sign("current", b"{}"))

    assert NATIVE.verify(delivery(b"{}", {"X-Signature": spelling.format(signature)})) is DefaultLabel.CURRENT


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        pytest.param({}, Reason.MISSING_SIGNATURE, id="no header"),
        pytest.param({"X-Signature": ""}, Reason.MISSING_SIGNATURE, id="empty"),
        pytest.param({"X-Signature": "0" * 63}, Reason.MALFORMED_SIGNATURE, id="too short"),
        pytest.param({"X-Signature": "0" * 65}, Reason.MALFORMED_SIGNATURE, id="too long"),
        pytest.param({"X-Signature": "sha1=" + "0" * 64}, Reason.MALFORMED_SIGNATURE, id="another algorithm"),
        pytest.param({"X-Signature": "\u0660" * 64}, Reason.MALFORMED_SIGNATURE, id="digits that are not ASCII"),
        pytest.param({"X-Signature": "ä" * 2**20}, Reason.MALFORMED_SIGNATURE, id="a megabyte"),
        pytest.param({"X-Signature": "0" * 64}, Reason.WRONG_SIGNATURE, id="zeros"),
    ],
)
def test_a_refused_signature_has_a_reason(headers: dict[str, str], reason: Reason) -> None:
    assert refusal(b"{}", headers) is reason


def test_a_payload_becomes_one_message() -> None:
    raw = to_bytes(payload(message_id="m1", text="Grüße"))

    contents = NATIVE.parse(delivery(raw, {}))

    (message,) = contents.messages
    assert (message.message_id, message.provider, message.type) == ("m1", "native", "text")
    assert (message.sender, message.recipient, message.text) == ("+4915112345678", "+4930123456", "Grüße")
    assert (message.ts, message.received_at) == (datetime(2025, 1, 15, 10, tzinfo=UTC), RECEIVED_AT)
    assert message.extra is None
    assert not contents.receipts
    assert not contents.unreadable


def test_what_a_payload_says_beyond_the_contract_is_kept() -> None:
    raw = to_bytes(payload(campaign={"id": 7, "tags": ["a", None]}))

    (message,) = NATIVE.parse(delivery(raw, {})).messages

    assert message.extra == {"campaign": {"id": 7, "tags": ["a", None]}}


def test_a_payload_may_leave_out_its_text() -> None:
    content = payload()
    del content["text"]

    (message,) = NATIVE.parse(delivery(to_bytes(content), {})).messages

    assert message.text is None


@given(st.binary())
def test_bytes_that_are_no_payload_are_refused_as_such(raw: bytes) -> None:
    with pytest.raises(PayloadInvalid):
        NATIVE.parse(delivery(raw, {}))
