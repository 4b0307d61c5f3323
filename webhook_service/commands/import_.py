"""``webhook-service import``."""

import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import click

from webhook_service.commands.cli_errors import plain_failures
from webhook_service.commands.database import open_database
from webhook_service.commands.importing import (
    STANDARD_INPUT,
    Candidate,
    DatabaseFile,
    ImportInvalid,
    NdjsonFile,
    open_import,
)
from webhook_service.commands.private_files import create_private
from webhook_service.domain.deliveries import Contents
from webhook_service.domain.errors import RowRefused
from webhook_service.domain.results import Outcome
from webhook_service.intake.commit import DeliveryRows, commit
from webhook_service.storage.database import Database

BATCH = 500  # messages in one transaction: few enough that deliveries don't wait long for their turn
REFUSED_BY_DATABASE = "the database has no room for a value of this length, or refuses it otherwise"
ID_TAKEN = "message_id: another message has this ID"


class Rejected:
    """The rejected lines, in a file beside the imported one, so that they can be mended and imported by themselves."""

    def __init__(self, imported: Path) -> None:
        self.number = 0
        name = "stdin" if imported == STANDARD_INPUT else imported.name
        self.path = imported.with_name(f"{name}.rejected")
        self._file: BinaryIO | None = None

    def write(self, candidate: Candidate, problem: str) -> None:
        """Prints which line is left out and why, and keeps the line."""
        click.echo(f"line {candidate.number:,}: {problem}", err=True)
        if self._file is None:
            self._file = create_private(self.path)
        self._file.write(candidate.line.rstrip(b"\n") + b"\n")
        self.number += 1

    def close(self) -> None:
        """Closes the file, if there is one."""
        if self._file is not None:
            self._file.close()


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
def import_(file: Path) -> None:
    """Store the messages of FILE: the NDJSON of an export, "-" for standard input, or a SQLite database.

    The database may be one of this service or of the FastAPI original.

    A message that is there already is left as it is, so an import may be repeated, and goes on where it stopped. A line
    that can't be taken, or whose ID is taken by another message, is kept in FILE.rejected, the others are stored, and
    the exit status is 1.
    """
    rejected = Rejected(file)
    with plain_failures(), open_database() as database:
        try:
            with open_import(file) as source:
                outcomes = _store_all(database, source, rejected)
        except ImportInvalid as invalid:
            raise click.ClickException(f"{file}: {invalid}") from None
        finally:
            rejected.close()
    click.echo(f"{outcomes[Outcome.CREATED]:,} stored, {outcomes[Outcome.DUPLICATE]:,} were there already")
    if rejected.number:
        raise click.ClickException(f"{rejected.number:,} left out: they are in {rejected.path}")


def _store_all(database: Database, source: NdjsonFile | DatabaseFile, rejected: Rejected) -> Counter[Outcome]:
    outcomes: Counter[Outcome] = Counter()
    with click.progressbar(length=source.size or 0, label="Importing", file=sys.stderr, hidden=not source.size) as bar:
        candidates = source.read(bar.update)
        while batch := list(islice(candidates, BATCH)):
            outcomes += _store(database, batch, rejected)
    return outcomes


def _store(database: Database, batch: list[Candidate], rejected: Rejected) -> Counter[Outcome]:
    """Stores the messages among the candidates in one transaction, but each by itself, so that one may fail alone."""
    outcomes: Counter[Outcome] = Counter()
    good, rows = [], []
    for candidate in batch:
        if candidate.message is None:
            rejected.write(candidate, candidate.problem or "")
        else:
            good.append(candidate)
            rows.append(DeliveryRows.encode(Contents((candidate.message,))))
    for candidate, result in zip(good, commit(database, rows), strict=True):
        if isinstance(result, RowRefused):
            rejected.write(candidate, REFUSED_BY_DATABASE)
        elif Outcome.CONFLICT in result.messages:
            rejected.write(candidate, ID_TAKEN)
        else:
            outcomes.update(result.messages)
    return outcomes
