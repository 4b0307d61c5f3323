"""Loads all that the file of configuration declares."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from webhook_service.configuration import destinations
from webhook_service.configuration.file import FILE_NAME, ConfigFile, FileInvalid
from webhook_service.configuration.sources import SECTION, load_sources
from webhook_service.domain.destinations import Destination
from webhook_service.providers.base import Provider
from webhook_service.providers.source import Sources
from webhook_service.shipped import CHECKOUT


@dataclass(frozen=True, slots=True)
class Configuration:
    """The sources and destinations that the file declares; ``file`` is None when there is no file."""

    file: Path | None = None
    sources: Sources = field(default_factory=dict)
    destinations: Mapping[str, Destination] = field(default_factory=dict)


def find_file(environ: Mapping[str, str]) -> Path | None:
    """Finds the file: that in CONFIG_FILE, or else one beside the file of settings or in the current folder."""
    named = environ.get("CONFIG_FILE", "").strip()
    if named:
        return Path(named)
    env_file = os.environ.get("ENV_FILE", "").strip()
    folders = (Path(env_file).parent if env_file else None, CHECKOUT, Path())
    return next((file for folder in folders if folder and (file := folder / FILE_NAME).is_file()), None)


def load_configuration(
    environ: Mapping[str, str], known: Iterable[type[Provider]], configured: Mapping[str, type[Provider]]
) -> tuple[Configuration, list[str]]:
    """Loads the file that an environment leads to; returns what it declares, and all its problems, a line each.

    The file is read anew each time and nothing else is changed, so that a file can be tried before it is used.
    ``known`` are the providers written in Python, ``configured`` those of them that the environment itself sets up.
    """
    path = find_file(environ)
    if path is None:
        return Configuration(), []
    try:
        file = ConfigFile.read(path, environ)
    except FileInvalid as invalid:
        return Configuration(path), [invalid.problem]
    sources = load_sources(file, known, configured)
    declared = file.load(destinations.SECTION, destinations.load_destination)
    return Configuration(path, sources, declared), file.finish(SECTION, destinations.SECTION)
