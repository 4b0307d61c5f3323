"""Sources whose provider is a preset, or is declared by the file itself."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from webhook_service.configuration.tables import FROM_OUTSIDE, Table
from webhook_service.domain.secrets import Secrets
from webhook_service.providers.declared import (
    CUSTOM,
    KEYS,
    Declaration,
    DeclarationInvalid,
    Declared,
    SecretUnusable,
    load_declaration,
)
from webhook_service.providers.presets import PRESETS

DECLARED_KINDS = (CUSTOM, *PRESETS)

_SECRET_KEYS = frozenset({"token"})
_HOLDERS = ({"env"}, {"file"})


def take_declared(table: Table, kind: str, secrets: Secrets | None) -> Declared | None:
    """Takes the rules of a source; None, with problems reported, when the rules or the secrets can't be used."""
    signing_key = table.take_secret("signing_key")
    own = {key: value for key, value in table.take_any(KEYS).items() if key != "provider"}
    resolved = {key: _with_secrets(table, value, (key,)) for key, value in own.items()}
    try:
        declaration = load_declaration({**resolved, "provider": kind}) if resolved else _load_preset(kind)
    except DeclarationInvalid as invalid:
        for path, text in invalid.problems:
            table.report(path, text)
        return None
    usable = secrets is not None and _are_usable(table, declaration, secrets)
    usable &= signing_key is None or _can_sign(table, declaration, signing_key)
    if secrets is None or not usable:
        return None
    return Declared(declaration, secrets, signing_key=signing_key)


@cache
def _load_preset(name: str) -> Declaration:
    """Loads a preset as it is, without tables of a source; all such sources share it."""
    return load_declaration({"provider": name})


def _are_usable(table: Table, declaration: Declaration, secrets: Secrets) -> bool:
    usable = True
    for place, secret in enumerate(secrets.listed):
        try:
            declaration.scheme(Secrets(secret))
        except SecretUnusable as unusable:
            table.report(("secrets", str(place)), str(unusable))
            usable = False
    return usable


def _can_sign(table: Table, declaration: Declaration, signing_key: str) -> bool:
    try:
        declaration.check_signing_key(signing_key)
    except SecretUnusable as unusable:
        table.report(("signing_key",), str(unusable))
        return False
    return True


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
        table.report(path, FROM_OUTSIDE)
    return value
