"""What would have made a refused delivery of a declared provider pass, for the operator's log."""

import base64
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.support.declared import SECRET, declared
from tests.support.provider_deliveries import RECEIVED_AT, delivery_of
from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.errors import SignatureInvalid
from webhook_service.providers.declared import Declared

NOW = str(int(RECEIVED_AT.timestamp()))
BODY = b'{"id":"m-1","text":"Gr\xc3\xbc\xc3\x9fe / x"}'
ENCODED = "whsec_" + base64.b64encode(SECRET.encode()).decode()
TIMED: Mapping[str, Any] = {"verify": {"signed": "{timestamp}.{body}", "timestamp": {"header": "X-Time"}}}
URL: Mapping[str, Any] = {"public_url": "https://inbox.example.com", "verify": {"signed": "{url}{body}"}}


def mac(content: bytes, key: str = SECRET, algorithm: str = "sha256") -> bytes:
    return hmac.digest(key.encode(), content, algorithm)


def diagnosed(own: Declared, signature: str, at: str = NOW, headers: Mapping[str, str] | None = None) -> str | None:
    delivery = delivery_of(BODY, {"X-Signature": signature, "X-Time": at, **(headers or {})}, target="/webhook/x?a=b")
    with pytest.raises(SignatureInvalid):
        own.verify(delivery)
    return own.diagnose(delivery)


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_the_other_encoding_is_named(algorithm: str) -> None:
    in_hex = declared({"verify": {"algorithm": algorithm}})
    in_base64 = declared({"verify": {"algorithm": algorithm, "encoding": "base64"}})
    in_base64url = declared({"verify": {"algorithm": algorithm, "encoding": "base64url"}})
    signature = mac(BODY, algorithm=algorithm)

    assert diagnosed(in_hex, base64.b64encode(signature).decode()) == "base64_instead_of_hex"
    assert diagnosed(in_base64, signature.hex()) == "hex_instead_of_base64"
    assert diagnosed(in_base64url, signature.hex()) == "hex_instead_of_base64"


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (BODY + b"\n", "trailing_newline"),
        (json.dumps(json.loads(BODY)).encode(), "reserialized_body"),
        (json.dumps(json.loads(BODY), separators=(",", ":")).replace("/", "\\/").encode(), "reserialized_body"),
    ],
)
def test_a_changed_body_is_named_within_the_template(content: bytes, hint: str) -> None:
    assert diagnosed(declared(), mac(content).hex()) == hint
    assert diagnosed(declared(TIMED), mac(f"{NOW}.".encode() + content).hex()) == hint


def test_a_body_that_was_signed_alone_is_named() -> None:
    assert diagnosed(declared(TIMED), mac(BODY).hex()) == "body_signed_alone"


def test_a_secret_with_a_newline_and_one_that_was_not_decoded_are_named() -> None:
    decoded = declared({"verify": {"secret_encoding": "base64", "secret_prefix": "whsec_"}}, secret=ENCODED)

    assert diagnosed(declared(), mac(BODY, SECRET + "\n").hex()) == "secret_with_newline"
    assert diagnosed(decoded, mac(BODY, ENCODED).hex()) == "secret_not_decoded"
    assert diagnosed(decoded, mac(BODY, ENCODED.removeprefix("whsec_")).hex()) == "secret_not_decoded"


def test_a_clock_that_is_wrong_is_named_with_its_error() -> None:
    ahead = str(int(NOW) + 412)

    assert diagnosed(declared(TIMED), mac(f"{ahead}.".encode() + BODY).hex(), ahead) == "clock_skew +412 s"


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("http://inbox.example.com/webhook/x?a=b", "other_scheme"),
        ("https://inbox.example.com:443/webhook/x?a=b", "other_port"),
        ("https://other.example/webhook/x?a=b", "other_host"),
        ("https://inbox.example.com/webhook/x", "other_path"),
    ],
)
def test_another_url_is_named(url: str, hint: str) -> None:
    signature = mac(url.encode() + BODY).hex()

    assert diagnosed(declared(URL), signature, headers={"Host": "other.example"}) == hint


def test_the_previous_secret_is_tried_too() -> None:
    own = declared(secret="new", previous=SECRET)

    assert diagnosed(own, mac(BODY + b"\n").hex()) == "trailing_newline"


@pytest.mark.parametrize("signature", ["", "0" * 64, "nonsense", mac(BODY, "another").hex()])
def test_nothing_is_said_where_nothing_would_have_helped(signature: str) -> None:
    assert diagnosed(declared(TIMED), signature) is None


def test_a_large_body_is_not_tried() -> None:
    large = BODY[:-1] + b" " * 9000 + b"}"
    delivery: Delivery = delivery_of(large, {"X-Signature": mac(large + b"\n").hex()})

    assert declared().diagnose(delivery) is None
    assert declared().diagnose(replace(delivery, raw=BODY)) is None
