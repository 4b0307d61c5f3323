"""``webhook-service backup``."""

import sys
from pathlib import Path

import click

from webhook_service.commands.cli_errors import naming, plain_failures
from webhook_service.settings import Settings
from webhook_service.storage.backup import back_up


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(file: Path) -> None:
    """Copy the SQLite database to a new FILE while the service runs.

    What is in it is of one moment. FILE is there only once it is whole and on disk.
    """
    with plain_failures():
        url = Settings.from_env().database_url
        if url.drivername != "sqlite":
            raise click.ClickException("this copies SQLite; PostgreSQL has pg_dump: docs/operations.md says how")
        with naming(url), click.progressbar(length=1, label="Backing up", file=sys.stderr) as bar:

            def show(done: int, total: int) -> None:
                bar.length = total
                bar.update(done - bar.pos)

            try:
                back_up(url, file, show)
            except FileExistsError as existing:
                raise click.ClickException(f"{existing.filename} exists") from None
    click.echo(f"{file.stat().st_size:,} bytes in {file}", err=True)
