"""``webhook-service demo``."""

import click

from webhook_service.commands.database import open_database
from webhook_service.commands.failures import plain_failures
from webhook_service.commands.inventing import invent_deliveries
from webhook_service.intake.commit import commit
from webhook_service.storage.database import Database
from webhook_service.storage.queries.counts import count_all
from webhook_service.storage.queries.quarantine import read_sizes

ROUND = 100  # deliveries


@click.command()
@click.option("--count", default=400, show_default=True, type=click.IntRange(1, 100_000), help="Messages to invent.")
def demo(count: int) -> None:
    """Fill an empty inbox with invented messages, receipts and quarantined deliveries, to try the dashboard.

    Nothing is sent to anyone, and an inbox that holds anything is left alone.
    """
    with plain_failures(), open_database() as database:
        if not _is_empty(database):
            raise click.ClickException("the inbox is not empty: nothing was added")
        batch = invent_deliveries(count)
        for at in range(0, len(batch), ROUND):
            commit(database, batch[at : at + ROUND])
    click.echo(f"{count} invented messages: see /dashboard/")


def _is_empty(database: Database) -> bool:
    with database.primary_snapshot() as snapshot:
        return not count_all(snapshot) and not any(size.deliveries for size in read_sizes(snapshot).values())
