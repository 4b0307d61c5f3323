"""Files of configuration, and the sources and destinations that they declare."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from webhook_service.configuration.loading import Configuration, load_configuration
from webhook_service.providers.base import Provider
from webhook_service.providers.registry import PROVIDERS


def declare(
    folder: Path,
    text: str,
    environ: Mapping[str, str] | None = None,
    configured: Iterable[type[Provider]] = (),
) -> tuple[Configuration, list[str]]:
    """Loads a file with this text; ``configured`` are the providers that the environment sets up."""
    file = folder / "webhook-service.toml"
    file.write_text(text, encoding="utf-8")
    by_name = {provider.name: provider for provider in configured}
    return load_configuration({**(environ or {}), "CONFIG_FILE": str(file)}, PROVIDERS, by_name)
