"""The grammar of declarations: what is wrong is said all at once, at its place, and without any value."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.declared import SECRET, TABLE, declared, without
from tests.support.preset_keys import public_text
from webhook_service.domain.secrets import Secrets
from webhook_service.providers.declarations.rules import ALGORITHMS
from webhook_service.providers.declared import (
    CUSTOM,
    DeclarationInvalid,
    Declared,
    SecretUnusable,
    load_declaration,
    merged,
)
from webhook_service.providers.presets import PRESETS


def problems(own: Mapping[str, Any], table: Mapping[str, Any] = TABLE) -> list[tuple[str, str]]:
    try:
        load_declaration(merged(table, own))
    except DeclarationInvalid as invalid:
        return [(".".join(path), text) for path, text in invalid.problems]
    return []


def places(own: Mapping[str, Any], table: Mapping[str, Any] = TABLE) -> list[str]:
    return [path for path, _ in problems(own, table)]


def test_the_table_of_the_tests_has_no_problem() -> None:
    assert load_declaration(TABLE).name == CUSTOM


def test_all_problems_are_reported_at_once() -> None:
    found = places(
        {
            "colour": "red",
            "public_url": "inbox",
            "verify": {"encoding": "base32", "signed": "{timestamp}.", "timestamp": {"header": "T", "tolerance": 0}},
            "payload": {"from": "a.b", "ts_format": "days", "body": "x"},
            "handshake": {"when": "body.x", "query": "y"},
            "answer": {"status": 500},
        }
    )

    assert sorted(found) == sorted(
        [
            "public_url",
            "verify.encoding",
            "verify.timestamp.tolerance",
            "verify.signed",
            "payload.ts_format",
            "payload.from",
            "payload.body",
            "handshake",
            "handshake.query",
            "answer.status",
            "colour",
        ]
    )


@pytest.mark.parametrize(
    ("own", "place"),
    [
        ({"verify": {"signed": "{timestamp}"}}, "verify.signed"),
        ({"verify": {"signed": "body"}}, "verify.signed"),
        ({"verify": {"signed": "{header:X}{url}"}, "public_url": "https://a.example"}, "verify.signed"),
        ({"verify": {"signed": "{Body}"}}, "verify.signed"),
        ({"verify": {"signed": "{body"}}, "verify.signed"),
        ({"verify": {"signed": "{body}}"}}, "verify.signed"),
        ({"verify": {"signed": "{}{body}"}}, "verify.signed"),
        ({"verify": {"signed": "{header:}{body}"}}, "verify.signed"),
        ({"verify": {"signed": "{header:X Y}{body}"}}, "verify.signed"),
        ({"verify": {"signed": "{url}{body}"}}, "verify.signed"),
        ({"verify": {"signed": "{form:sorted}"}}, "verify.signed"),
        ({"verify": {"signed": "{body}" * 21}}, "verify.signed"),
        ({"verify": {"body_unsigned": True}}, "verify.body_unsigned"),
        ({"verify": {"timestamp": {"header": "T"}}}, "verify.timestamp"),
        ({"verify": {"timestamp": {"query": "t"}}}, "verify.timestamp"),
        ({"verify": {"signed": "{body}{timestamp}"}}, "verify.timestamp"),
        ({"verify": {"signature": {"header": "X", "query": "x"}}}, "verify.signature"),
        ({"verify": {"signature": {"header": "X:"}}}, "verify.signature.header"),
        ({"verify": {"signature": {"key": "v1"}}}, "verify.signature.separator"),
        ({"verify": {"signature": {"separator": "="}}}, "verify.signature.key"),
        ({"verify": {"signature": {"field": "sig", "header": None}}}, "verify.signature"),
        ({"verify": {"scheme": "none"}}, "verify.scheme"),
        ({"verify": {"algorithm": "md5"}}, "verify.algorithm"),
        ({"verify": {"secret_encoding": "pem"}}, "verify.secret_encoding"),
        ({"verify": {"claims": {}}}, "verify.claims"),
        ({"verify": "hmac"}, "verify"),
        ({"payload": {"message_id": "id ||"}}, "payload.message_id"),
        ({"payload": {"message_id": "nested.id"}}, "payload.message_id"),
        ({"payload": {"message_id": {}}}, "payload.message_id"),
        ({"payload": {"message_id": {"sha256": "item"}}}, "payload.message_id.sha256"),
        ({"payload": {"from": "body"}}, "payload.from"),
        ({"payload": {"from": "headers.*"}}, "payload.from"),
        ({"payload": {"from": "keys(headers)"}}, "payload.from"),
        ({"payload": {"from": "headers"}}, "payload.from"),
        ({"payload": {"from": "@"}}, "payload.from"),
        ({"payload": {"from": "[" * 300}}, "payload.from"),
        ({"payload": {"from": "!" * 30 + "item.x"}}, "payload.from"),
        ({"payload": {"from": 'headers."X-Signature"'}}, "payload"),
        ({"payload": {"from": 'headers."x-signature"'}}, "payload"),
        ({"payload": {"message_id": {"header": "x-SIGNATURE"}}}, "payload"),
        ({"payload": {"from": "item.x || sum(body.list[].n)"}}, "payload.from"),
        ({"payload": {"from": "[item.x, body.list[*].n]"}}, "payload.from"),
        ({"payload": {"from": "[item.x, body.list[?n == `1`]]"}}, "payload.from"),
        ({"payload": {"from": "join('', [item.x, to_string(body.list)])"}}, "payload.from"),
        ({"payload": {"from": "contains(body.list, item.x)"}}, "payload.from"),
        ({"payload": {"from": "[item.x, body | keys(@)]"}}, "payload.from"),
        ({"payload": {"items": "item.list"}}, "payload.items"),
        ({"payload": {"phone_numbers": "yes"}}, "payload.phone_numbers"),
        ({"payload": {"ts_optional": "yes"}}, "payload.ts_optional"),
        ({"handshake": []}, "handshake"),
        ({"handshake": {"query": "c", "token_query": "t"}}, "handshake.token"),
        ({"handshake": {"query": "c", "token": "t"}}, "handshake.token_query"),
        ({"handshake": {"when": "item.x"}}, "handshake.when"),
        ({"handshake": {"query": "c", "expect": {"a": 1}}}, "handshake.expect"),
        ({"answer": {"text": "ok", "json": {}}}, "answer.text"),
        ({"answer": {"content_type": "text/plain\r\nX: y"}}, "answer.content_type"),
        ({"provider": "nobody"}, "provider"),
        ({"accepts_unreadable": 1}, "accepts_unreadable"),
    ],
)
def test_each_mistake_is_named_at_its_place(own: dict[str, Any], place: str) -> None:
    assert place in places(own)


@pytest.mark.parametrize(
    "path",
    [
        ("verify",),
        ("payload",),
        ("verify", "scheme"),
        ("verify", "algorithm"),
        ("verify", "encoding"),
        ("verify", "signature"),
        ("verify", "signed"),
        ("payload", "message_id"),
        ("payload", "from"),
        ("payload", "to"),
    ],
)
def test_what_is_needed_is_missed(path: tuple[str, ...]) -> None:
    assert (".".join(path), "missing") in problems({}, without(TABLE, *path))


JWT = {"scheme": "jwt", "claims": {"body_sha256": "hash"}, "tolerance": 5, "body_unsigned": True, "secret_prefix": "x"}
SIGNED_CHALLENGE = {"handshake": {"query": "c", "answer": {"json": {"signed": ["{hmac:challenge}"]}}}}


@pytest.mark.parametrize(
    ("signed", "body_format"),
    [
        ("{sha256:body}", "json"),
        ("v0={timestamp}-{sha256:body}", "json"),
        ("{header:X-Id}{sha256-bytes:body}", "json"),
        ("{field:id}{sha256:body}", "json"),
        ("{body}", "form"),
        ("{timestamp}{form:sorted}", "form"),
    ],
)
def test_a_challenge_is_not_signed_where_it_could_be_what_is_signed_of_a_delivery(
    signed: str, body_format: str
) -> None:
    timestamp = {"timestamp": {"header": "X-Time"}} if "{timestamp}" in signed else {}
    own = {"verify": {"signed": signed, **timestamp}, "payload": {"format": body_format}}

    assert places(own) == []
    assert places({**own, **SIGNED_CHALLENGE}) == ["handshake.answer"]


@pytest.mark.parametrize(
    "signed", ["{body}", "v0:{sha256:body}", "é{sha256:body}", "{{{sha256:body}", "{url}{sha256:body}"]
)
def test_a_challenge_is_signed_where_no_delivery_can_look_like_one(signed: str) -> None:
    own = {"verify": {"signed": signed}, "public_url": "https://inbox.example.com"}

    assert places({**own, **SIGNED_CHALLENGE}) == []


def test_a_missing_scheme_hides_no_misspelt_key() -> None:
    verify = {"schem": "hmac", "algoritm": "sha256", "encodng": "hex", "signed": "{body}", "tolerance": 5}

    assert places({}, {**TABLE, "verify": verify}) == [
        "verify.scheme",
        "verify.schem",
        "verify.algoritm",
        "verify.encodng",
    ]


@pytest.mark.parametrize("verify", [TABLE["verify"], *(PRESETS[name]["verify"] for name in PRESETS), JWT])
def test_a_key_of_any_scheme_is_known_where_none_is_named(verify: dict[str, Any]) -> None:
    assert places({}, {**TABLE, "verify": without(verify, "scheme")}) == ["verify.scheme"]


@pytest.mark.parametrize("own", [{"ts_format": "s"}, {"ts_optional": True}])
def test_nothing_is_said_of_a_time_that_no_field_holds(own: dict[str, Any]) -> None:
    assert places({"payload": own}, without(TABLE, "payload", "ts")) == [f"payload.{next(iter(own))}"]


@pytest.mark.parametrize("scheme", ["token", "basic"])
def test_a_scheme_without_a_signature_knows_no_algorithm(scheme: str) -> None:
    assert {"verify.algorithm", "verify.encoding", "verify.signed"} <= set(places({"verify": {"scheme": scheme}}))


def test_a_token_that_says_nothing_of_the_body_has_to_be_wanted() -> None:
    table = {**TABLE, "verify": {"scheme": "jwt", "algorithm": "hs256"}}

    assert places({}, table) == ["verify.claims"]
    assert places({"verify": {"body_unsigned": True}}, table) == []
    assert places({"verify": {"claims": {"url_sha256": "u", "body_sha256": "b"}}}, table) == [
        "verify.claims.url_sha256"
    ]


@pytest.mark.parametrize(
    "expression",
    [
        "item.to || body.to",
        "not_null(item.to, body.account.name, 'nobody')",
        "join('.', [item.id, body.list[0].id])",
        "item.list[*].n | [0] || body.n",
        "sum(body.list[].n)",
    ],
)
def test_plain_fields_of_the_body_may_stand_beside_the_item(expression: str) -> None:
    assert places({"payload": {"from": expression}}) == []


def test_a_header_that_is_signed_by_its_name_covers_the_timestamp() -> None:
    own = {"verify": {"signed": "{header:x-time}{body}", "timestamp": {"header": "X-Time"}}}

    assert places(own) == []


def test_a_field_of_the_body_is_covered_by_the_body() -> None:
    assert places({"verify": {"timestamp": {"field": "meta.at"}}}) == []


@pytest.mark.parametrize(
    ("verify", "secret"),
    [
        ({"secret_encoding": "base64"}, "not base64!"),
        ({"secret_encoding": "hex"}, "0x12"),
        ({"secret_encoding": "hex"}, ""),
        ({"secret_encoding": "base64", "secret_prefix": "whsec_"}, "whsec_"),
    ],
)
def test_a_secret_that_is_none_is_reported_and_not_shown(verify: dict[str, Any], secret: str) -> None:
    with pytest.raises(SecretUnusable) as unusable:
        declared({"verify": verify}, secret=secret)

    assert not secret or secret not in str(unusable.value)


@pytest.mark.parametrize("encoding", ["pem", "spki", "base64", "hex"])
@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "rsa-sha256", "ed25519"])
@pytest.mark.parametrize(
    "secret", ["", "x", "A" * 44, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "é"]
)
def test_what_is_no_public_key_is_reported(algorithm: str, encoding: str, secret: str) -> None:
    verify = {"scheme": "public_key", "algorithm": algorithm, "secret_encoding": encoding}
    declaration = load_declaration(merged(TABLE, {"verify": verify}))

    with pytest.raises(SecretUnusable):
        Declared(declaration, Secrets(secret))


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [("ecdsa-p256", public_text("ed25519", "pem")), ("rsa-sha256", public_text("ecdsa-p256", "pem"))],
)
def test_a_key_of_another_algorithm_is_reported(algorithm: str, key: str) -> None:
    verify = {"scheme": "public_key", "algorithm": algorithm, "secret_encoding": "pem"}

    with pytest.raises(SecretUnusable, match=f"not a key for {algorithm}"):
        Declared(load_declaration(merged(TABLE, {"verify": verify})), Secrets(key))


def test_every_scheme_of_the_grammar_has_an_implementation() -> None:
    secrets = {
        "hmac": SECRET,
        "token": SECRET,
        "basic": "a:b",
        "jwt": SECRET,
        "public_key": public_text("ed25519", "hex"),
    }
    tables: dict[str, dict[str, Any]] = {
        "hmac": dict(TABLE["verify"]),
        "public_key": {**TABLE["verify"], "algorithm": "ed25519", "secret_encoding": "hex", "scheme": "public_key"},
        "jwt": {"scheme": "jwt", "algorithm": "hs256", "claims": {"body_sha256": "hash"}},
        "token": {"scheme": "token", "signature": {"header": "X-Token"}},
        "basic": {"scheme": "basic"},
    }

    made = [
        Declared(load_declaration({**TABLE, "verify": tables[scheme]}), Secrets(secrets[scheme]))
        for scheme in ALGORITHMS
    ]

    assert len(made) == len(tables)
