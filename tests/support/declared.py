"""Declared providers for tests."""

from collections.abc import Mapping
from typing import Any

from webhook_service.domain.secrets import Secrets
from webhook_service.providers.declared import Declared, load_declaration, merged

SECRET = "a-secret-that-no-message-may-show"

TABLE: Mapping[str, Any] = {
    "verify": {
        "scheme": "hmac",
        "algorithm": "sha256",
        "encoding": "hex",
        "signature": {"header": "X-Signature"},
        "signed": "{body}",
    },
    "payload": {"message_id": "id", "from": "from", "to": "to", "ts": "at", "text": "text"},
}
"""The tables of an invented provider, over which tests lay their own."""


def declared(own: Mapping[str, Any] | None = None, *, secret: str = SECRET, previous: str | None = None) -> Declared:
    """Returns the provider that ``TABLE`` declares with these tables laid over it."""
    return Declared(load_declaration(merged(TABLE, own or {})), Secrets(secret, previous))


def without(table: Mapping[str, Any], *path: str) -> dict[str, Any]:
    """Returns a table without one of its keys, which is given by its path."""
    first, *rest = path
    if not rest:
        return {key: value for key, value in table.items() if key != first}
    return {**table, first: without(table[first], *rest)}
