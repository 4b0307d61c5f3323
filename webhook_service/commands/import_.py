"""``webhook-service import``."""

import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import click

from webhook_service.commands.database import open_database
from webhook_service.commands.failures import plain_failures
from webhook_service.commands.importing import DatabaseFile, ImportInvalid, NdjsonFile, open_import
from webhook_service.domain.deliveries import Contents
from webhook_service.domain.errors import RowRefused
from webhook_service.domain.results import Outcome
from webhook_service.intake.commit import Entry, commit
from webhook_service.storage.database import Database

BATCH = 500  # messages in one transaction: few enough that deliveries don't wait long for their turn


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_(file: Path) -> None:
    """Store the messages of FILE: the NDJSON of an export, or a SQLite database.

    The database may be one of this service or of the FastAPI original.

    A message that is there already is left as it is, so an import may be repeated, and goes on where it stopped. One
    whose ID is taken by another message is left out, and its ID is printed.
    """
    with plain_failures(), open_database() as database:
        try:
            with open_import(file) as source:
                outcomes = _store_all(database, source)
        except ImportInvalid as invalid:
            raise click.ClickException(str(invalid)) from None
    click.echo(f"{outcomes[Outcome.CREATED]:,} stored, {outcomes[Outcome.DUPLICATE]:,} were there already")
    if outcomes[Outcome.CONFLICT]:
        click.echo(f"{outcomes[Outcome.CONFLICT]:,} left out: another message has the ID", err=True)


def _store_all(database: Database, source: NdjsonFile | DatabaseFile) -> Counter[Outcome]:
    outcomes: Counter[Outcome] = Counter()
    with click.progressbar(length=source.size, label="Importing", file=sys.stderr) as bar:
        messages = source.read(bar.update)
        while batch := list(islice(messages, BATCH)):
            entry = Entry.of(Contents(tuple(batch)))
            (committed,) = commit(database, [entry])
            if isinstance(committed, RowRefused):
                raise click.ClickException("the database refuses a message of the file")
            for message_id in entry.in_conflict(committed):
                click.echo(f"conflict: {message_id}", err=True)
            outcomes.update(committed.messages)
    return outcomes
