"""``webhook-service migrate``."""

import click

from webhook_service.commands.cli_errors import naming, plain_failures
from webhook_service.settings import Settings
from webhook_service.storage.migrate import migrate as bring_up_to_date


@click.command()
def migrate() -> None:
    """Bring the database to the schema of this release; a SQLite file that is not there is made."""
    with plain_failures():
        url = Settings.from_env().database_url
        with naming(url):
            bring_up_to_date(url, click.echo)
