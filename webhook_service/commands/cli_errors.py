"""Turns failures into what a command prints, and exit status 1."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy import URL

from webhook_service.configuration.database_url import masked_url
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.settings import SettingsInvalid


@contextmanager
def plain_failures() -> Iterator[None]:
    """Turns invalid settings and unusable files into a line that says so, and exit status 1."""
    try:
        yield
    except SettingsInvalid as invalid:
        raise click.ClickException(str(invalid)) from invalid
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader of the output has closed it, on which click exits quietly
            raise
        named = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{named}{error.strerror or error}") from error


@contextmanager
def naming(url: URL) -> Iterator[None]:
    """Turns the failure of a database into a line that names the database, and exit status 1."""
    try:
        yield
    except StorageUnavailable as unavailable:
        cause = f" ({unavailable.cause})" if unavailable.cause != unavailable.detail else ""
        raise click.ClickException(f"{masked_url(url)}: {unavailable.detail}{cause}") from unavailable
