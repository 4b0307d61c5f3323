"""Sources whose provider is a preset, or is declared by the file itself."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from webhook_service.configuration.tables import NOT_INLINE, Table
from webhook_service.domain.secrets import Secrets
from webhook_service.providers.declared import (
    CUSTOM,
    KEYS,
    Declaration,
    DeclarationInvalid,
    Declared,
    Rules,
    SecretUnusable,
    load_declaration,
    load_rules,
    scheme_of,
)
from webhook_service.providers.presets import PRESETS

DECLARED_KINDS = (CUSTOM, *PRESETS)

_SECRET_KEYS = frozenset({"token"})
_HOLDERS = ({"env"}, {"file"})


def take_declared(table: Table, kind: str, secrets: Secrets | None) -> Declared | None:
    """Takes the rules of a source; None, with problems reported, when the rules or the secrets can't be used."""
    signing_key = table.take_secret("signing_key")
    own = {key: value for key, value in table.take_any(KEYS).items() if key != "provider"}
    resolved = {"provider": kind, **{key: _with_secrets(table, value, (key,)) for key, value in own.items()}}
    declaration: Declaration | None = None
    try:
        declaration = load_declaration(resolved) if own else _load_preset(kind)
    except DeclarationInvalid as invalid:
        for path, text in invalid.problems:
            table.report(path, text)
    rules = declaration.rules if declaration else load_rules(resolved)
    usable = rules is not None and _are_usable(table, rules, secrets, signing_key)
    if declaration is None or secrets is None or not usable:
        return None
    return Declared(declaration, secrets, signing_key=signing_key)


@cache
def _load_preset(name: str) -> Declaration:
    """Loads a preset as it is, without tables of a source; all such sources share it."""
    return load_declaration({"provider": name})


def _are_usable(table: Table, rules: Rules, secrets: Secrets | None, signing_key: str | None) -> bool:
    usable = True
    for place, secret in enumerate(secrets.listed if secrets else ()):
        try:
            scheme_of(rules, Secrets(secret))
        except SecretUnusable as unusable:
            table.report(("secrets", str(place)), str(unusable))
            usable = False
    try:
        if signing_key is not None:
            rules.check_signing_key(signing_key)
    except SecretUnusable as unusable:
        table.report(("signing_key",), str(unusable))
        usable = False
    return usable


def _with_secrets(table: Table, value: Any, path: tuple[str, ...]) -> Any:
    """Returns a value with each ``env`` or ``file`` table replaced by its secret; reports secrets in plain text."""
    if isinstance(value, Mapping):
        if value.keys() in _HOLDERS:
            holder = table.below(value, *path)
            return holder.resolve_secret() or ""
        return {key: _with_secrets(table, each, (*path, key)) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_secrets(table, each, (*path, str(place))) for place, each in enumerate(value)]
    if path[-1] in _SECRET_KEYS and isinstance(value, str):
        table.report(path, NOT_INLINE)
    return value
