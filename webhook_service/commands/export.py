"""``webhook-service export``."""

import os
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import click
import orjson

from webhook_service.commands.cli_errors import plain_failures
from webhook_service.commands.database import open_database
from webhook_service.commands.filters import filter_options, load_filter
from webhook_service.commands.private_files import create_private
from webhook_service.domain.messages import MessageFilter, Order, Position
from webhook_service.schemas.cursors import CursorInvalid, PositionCursors
from webhook_service.schemas.export_formats import ExportFormat
from webhook_service.schemas.messages import message_cursors
from webhook_service.storage.database import Database
from webhook_service.storage.queries.batches import read_batches
from webhook_service.storage.queries.pages import count_messages

BATCHES_A_CHECKPOINT = 20
STANDARD_OUTPUT = Path("-")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option(
    "--format",
    "format_",
    type=click.Choice([form.value for form in ExportFormat]),
    help="[default: by the name of the file]",
)
@filter_options
def export(file: Path, format_: str | None, **filters: str | None) -> None:
    """Write messages to FILE, oldest first, or to standard output when FILE is "-".

    When it was interrupted, the same command goes on where it stopped: FILE.place says where that was until it is done.
    """
    form = ExportFormat(format_ or ("csv" if file.suffix == ".csv" else "ndjson"))
    with plain_failures(), open_database(only_to_read=True) as database:
        target = _Target(file, form, load_filter(filters))
        if file == STANDARD_OUTPUT:
            _export_to_standard_output(database, target)
        else:
            _export(database, target)


@dataclass(frozen=True, slots=True)
class _Target:
    """The exported file and, until the export is done, a file beside it that says how far it has come."""

    file: Path
    form: ExportFormat
    wanted: MessageFilter

    @property
    def cursors(self) -> PositionCursors:
        return message_cursors(self.wanted, Order.ASC)

    @property
    def place(self) -> Path:
        return self.file.with_name(f"{self.file.name}.place")

    def start(self) -> tuple[int, int, Position | None]:
        """Reads where to continue: the valid bytes and messages in the file, and the place of the last message."""
        if not self.place.exists():
            if self.file.exists():
                raise click.ClickException(f"{self.file} exists")
            return 0, 0, None
        cursor, form, size, messages = self._reached()
        try:
            after = self.cursors.read(cursor)
        except CursorInvalid:
            raise click.ClickException(f"{self.file} was begun with other filters: remove {self.place}") from None
        if form != self.form:
            raise click.ClickException(f"{self.file} was begun as {form}: remove {self.place}")
        if self.file.stat().st_size < size:
            raise click.ClickException(f"{self.file} lost its end: remove it and {self.place}, and begin anew")
        return size, messages, after

    def _reached(self) -> tuple[str, str, int, int]:
        """Reads the file that says how far the export has come."""
        try:
            match orjson.loads(self.place.read_bytes()):
                case {"cursor": str(cursor), "format": str(form), "size": int(size), "messages": int(messages)}:
                    return cursor, form, size, messages
        except orjson.JSONDecodeError:
            pass
        raise click.ClickException(f"{self.place} is damaged: remove it and {self.file}, and begin anew")

    def save(self, size: int, messages: int, after: Position) -> None:
        """Saves the place at which an interrupted export can continue."""
        cursor = self.cursors.write(after)
        unfinished = self.place.with_name(f"{self.place.name}.new")
        reached = {"cursor": cursor, "format": self.form, "size": size, "messages": messages}
        with create_private(unfinished) as file:
            file.write(orjson.dumps(reached))
        unfinished.replace(self.place)


def _export_to_standard_output(database: Database, target: _Target) -> None:
    output = sys.stdout.buffer
    output.write(target.form.header)
    for batch in read_batches(database, target.wanted, None):
        output.write(target.form.lines(batch))


def _export(database: Database, target: _Target) -> None:
    size, messages, after = target.start()
    with database.long_snapshot() as snapshot:
        total = count_messages(snapshot, target.wanted)
    with target.file.open("r+b") if size else create_private(target.file) as output:
        output.truncate(size)
        output.seek(size)
        if not size:
            output.write(target.form.header)
        messages = _write(database, target, output, messages, after, total)
    target.place.unlink(missing_ok=True)
    click.echo(f"{messages:,} messages in {target.file}", err=True)


def _write(
    database: Database, target: _Target, output: BinaryIO, messages: int, after: Position | None, total: int
) -> int:
    batches = read_batches(database, target.wanted, after)
    with click.progressbar(length=total, label="Exporting", file=sys.stderr, show_pos=True) as bar:
        bar.update(messages)
        while group := list(islice(batches, BATCHES_A_CHECKPOINT)):
            for batch in group:
                output.write(target.form.lines(batch))
                messages += len(batch)
                bar.update(len(batch))
            output.flush()
            os.fsync(output.fileno())
            target.save(output.tell(), messages, group[-1][-1].position)
    return messages
