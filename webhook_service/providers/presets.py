"""Presets: providers that are declared in files of the package, one a file in ``preset_data/``.

Such a file has the tables of a source under ``[source]``, and what the documentation says of the provider.
"""

import json
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Any


def _load() -> dict[str, Mapping[str, Any]]:
    folder = files("webhook_service.providers") / "preset_data"
    found = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return {file.name.removesuffix(".toml"): tomllib.loads(file.read_text("utf-8")) for file in found}


_FILES = _load()

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType({name: file["source"] for name, file in _FILES.items()})
"""The tables of each preset, by its name; a source lays its own over them."""

EXAMPLES: Mapping[str, Any] = MappingProxyType({name: json.loads(file["example"]) for name, file in _FILES.items()})
"""A body as the provider sends it, of each preset."""

EXAMPLE_HEADERS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {name: file.get("example_headers", {}) for name, file in _FILES.items()}
)
"""The headers that go with it and say something."""

PAGES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {name: {key: value for key, value in file.items() if key != "source"} for name, file in _FILES.items()}
)
"""What the documentation says of each preset, by its name."""
