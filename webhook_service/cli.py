"""The console script ``webhook-service``."""

import click

from webhook_service.commands.backup import backup
from webhook_service.commands.demo import demo
from webhook_service.commands.export import export
from webhook_service.commands.failures import plain_failures
from webhook_service.commands.import_ import import_
from webhook_service.commands.prune import erase, prune
from webhook_service.commands.quarantine import quarantine
from webhook_service.commands.send import send
from webhook_service.commands.stats import stats
from webhook_service.settings import Settings
from webhook_service.storage.migrate import migrate


@click.group()
def main() -> None:
    """A self-hosted inbox for provider messages."""


@main.command("migrate")
def migrate_() -> None:
    """Bring the database to the schema of this release."""
    with plain_failures():
        migrate(Settings.from_env().database_url)


for command in (send, demo, backup, export, import_, prune, erase, stats, quarantine):
    main.add_command(command)
