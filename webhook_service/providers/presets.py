"""Presets: providers that are declared in files of the package, each in a file of ``preset_data/``.

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
"""The tables of each preset, by its name; a source's own tables are laid over them."""

EXAMPLES: Mapping[str, Any] = MappingProxyType({name: json.loads(file["example"]) for name, file in _FILES.items()})
"""An example of a body for each preset, as the provider sends it."""

EXAMPLE_HEADERS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {name: file.get("example_headers", {}) for name, file in _FILES.items()}
)
"""The headers of each preset's example that matter to the messages in it."""

PAGES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {name: {key: value for key, value in file.items() if key != "source"} for name, file in _FILES.items()}
)
"""The content of each preset's page in the documentation, by the preset's name."""
