"""What a command says when it can't do its work."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from webhook_service.domain.errors import StorageUnavailable
from webhook_service.settings import SettingsInvalid


@contextmanager
def plain_failures() -> Iterator[None]:
    """Turns what an operator can mend into a line that says what is wrong, and exit status 1."""
    try:
        yield
    except SettingsInvalid as invalid:
        raise click.ClickException(str(invalid)) from invalid
    except StorageUnavailable as unavailable:
        cause = f" ({unavailable.failure})" if unavailable.failure != unavailable.detail else ""
        raise click.ClickException(unavailable.detail + cause) from unavailable
