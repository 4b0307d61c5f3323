"""``webhook-service stats``."""

import click

from webhook_service.commands.cli_errors import plain_failures
from webhook_service.commands.database import open_database
from webhook_service.storage.queries.counts import count_all, count_differences


@click.group()
def stats() -> None:
    """Look after the counts behind /stats."""


@stats.command()
def verify() -> None:
    """Count every message anew and compare; exit status 1 when a count is wrong."""
    with plain_failures(), open_database() as database, database.long_snapshot() as snapshot:
        differences = {table: rows for table, rows in count_differences(snapshot).items() if rows}
        total = count_all(snapshot)
    for table, rows in differences.items():
        click.echo(f"{table}: {rows:,} wrong")
    if differences:
        raise SystemExit(1)
    click.echo(f"The counts of {total:,} messages are exact.")
