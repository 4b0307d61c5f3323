"""``.env.example`` and ``docs/operations.md`` name every setting that there is."""

import re
from collections.abc import Iterator, Mapping

import pytest

from tests.support.processes import ROOT
from webhook_service.providers.registry import PROVIDERS
from webhook_service.settings import Settings, SettingsInvalid

EXAMPLE = dict(re.findall(r"^#([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))


class Recorder(Mapping[str, str]):
    """An environment in which every provider has a secret, and which remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        self._secrets = {provider.secret_setting: "secret" for provider in PROVIDERS}

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._secrets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._secrets)

    def __len__(self) -> int:
        return len(self._secrets)


def settings_read() -> set[str]:
    """The names that the settings are read from, without their variants for a file and for a previous secret."""
    recorder = Recorder()
    with pytest.raises(SettingsInvalid):  # a secret alone is not enough for some providers
        Settings.from_env(recorder)
    files = {"CONFIG_FILE"}  # whose content is no secret
    variants = recorder.asked - files
    return files | {name.removesuffix("_FILE").removesuffix("_PREVIOUS") for name in variants}


def test_the_example_names_every_setting_and_no_other() -> None:
    assert EXAMPLE.keys() == settings_read()


def test_the_example_shows_the_defaults() -> None:
    shown = Settings.from_env({name: value for name, value in EXAMPLE.items() if name != "DATA_DIR"})

    assert shown == Settings.from_env({})
    assert Settings.from_env({"DATA_DIR": EXAMPLE["DATA_DIR"]}) == shown


def test_the_documentation_names_every_setting() -> None:
    documented = set(re.findall(r"`([A-Z_]{3,})`", (ROOT / "docs" / "operations.md").read_text()))

    assert settings_read() <= documented
