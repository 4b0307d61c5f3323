"""Any table at all is a provider, or is refused in plain words without a secret."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.declared import SECRET, TABLE
from tests.support.provider_deliveries import MESSAGE
from webhook_service.domain.secrets import Secrets
from webhook_service.providers.declared import (
    CannotSign,
    DeclarationInvalid,
    Declared,
    SecretUnusable,
    load_declaration,
    merged,
)
from webhook_service.providers.presets import PRESETS

words = st.sampled_from(
    [
        *(
            "hmac",
            "public_key",
            "token",
            "basic",
            "jwt",
            "sha256",
            "ed25519",
            "hs256",
            "hex",
            "base64",
            "utf8",
            "iso",
            "ms",
        ),
        *("{body}", "{timestamp}.{body}", "{header:X}", "{", "body", "item.id", "id", "body.x[*]", "||"),
        *("json", "form", "X-Signature", ",", "=", "v1", SECRET, "", "\x00", "[" * 99, "`{}`", "to_string(@)", "&x"),
    ]
)
leaves = words | st.integers() | st.booleans() | st.none() | st.floats() | st.text(max_size=20)
KEYS = sorted(
    {"provider", "public_url", "verify", "payload", "handshake", "answer", "accepts_unreadable", "scheme", "algorithm"}
    | {"encoding", "signature", "signed", "timestamp", "secret_encoding", "secret_prefix", "body_unsigned", "claims"}
    | {"header", "query", "field", "split", "separator", "key", "prefix", "unit", "tolerance", "items", "message_id"}
    | {"from", "to", "ts", "ts_format", "text", "type", "format", "phone_numbers", "when", "challenge", "token"}
    | {"token_query", "expect", "json", "status", "content_type", "sha256", "body_sha256", "url_sha256"}
)
tables = st.recursive(
    leaves,
    lambda inner: (
        st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=9), inner, max_size=6) | st.lists(inner, max_size=3)
    ),
    max_leaves=25,
)
table_of = st.dictionaries(st.sampled_from(KEYS), tables, max_size=6)


def refusal(table: Mapping[str, Any]) -> DeclarationInvalid | SecretUnusable | None:
    """What keeps a provider from being made of these tables; None when it is made."""
    try:
        own = Declared(load_declaration(table), Secrets(SECRET))
    except (DeclarationInvalid, SecretUnusable) as refused:
        return refused
    with suppress(CannotSign):
        own.sample(MESSAGE)
    return None


@given(own=table_of, verify=table_of, payload=table_of, over=st.booleans())
@settings(deadline=None, max_examples=100)
def test_any_table_is_a_provider_or_a_list_of_problems_without_a_secret(
    own: dict[str, Any], verify: dict[str, Any], payload: dict[str, Any], over: bool
) -> None:
    table = {**own, "verify": verify, "payload": payload}

    refused = refusal(merged(TABLE, table) if over else table)

    assert SECRET not in str(refused)
    assert not isinstance(refused, DeclarationInvalid) or refused.problems


@given(name=st.sampled_from(sorted(PRESETS)), own=table_of)
@settings(deadline=None, max_examples=100)
def test_anything_laid_over_a_preset_is_a_provider_or_a_list_of_problems(name: str, own: dict[str, Any]) -> None:
    refused = refusal({**own, "provider": name})

    assert SECRET not in str(refused)
