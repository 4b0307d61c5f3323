"""What a command says when it can't do its work."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy import URL

from webhook_service.domain.errors import StorageUnavailable
from webhook_service.settings import SettingsInvalid, masked_url


@contextmanager
def plain_failures() -> Iterator[None]:
    """Turns invalid settings into a line for each, and exit status 1."""
    try:
        yield
    except SettingsInvalid as invalid:
        raise click.ClickException(str(invalid)) from invalid


@contextmanager
def naming(url: URL) -> Iterator[None]:
    """Turns the failure of a database into a line that says which one it is, and exit status 1."""
    try:
        yield
    except StorageUnavailable as unavailable:
        cause = f" ({unavailable.failure})" if unavailable.failure != unavailable.detail else ""
        raise click.ClickException(f"{masked_url(url)}: {unavailable.detail}{cause}") from unavailable
