"""Reads messages from a file: the NDJSON of an export, or a SQLite database, also that of the FastAPI original."""

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import orjson
from sqlalchemy import URL

from webhook_service.commands.cli_errors import naming
from webhook_service.domain.errors import PayloadInvalid
from webhook_service.domain.messages import Message, StoredMessage
from webhook_service.providers.strict_json import loads_object
from webhook_service.schemas.export import load_exported_message
from webhook_service.schemas.export_formats import ExportFormat
from webhook_service.storage.backup import back_up
from webhook_service.storage.database import Database
from webhook_service.storage.errors import translated_errors
from webhook_service.storage.migrate import migrate
from webhook_service.storage.queries.counts import count_all
from webhook_service.storage.queries.messages import read_feed

SQLITE_MAGIC = b"SQLite format 3\0"  # https://www.sqlite.org/fileformat.html#magic_header_string
BATCH = 1_000  # messages that are read at a time
STANDARD_INPUT = Path("-")

Advance = Callable[[int], None]
"""Shows progress: it is told how much more was read, in the unit of ``size``."""


class ImportInvalid(Exception):
    """Messages can't be imported from this file."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A message in a file: its number, from 1, its line of NDJSON, and the message itself or the problem with it."""

    number: int
    line: bytes
    message: Message | None
    problem: str | None = None


class NdjsonFile:
    """The NDJSON of an export; ``size`` is in bytes, and None if it is not known."""

    def __init__(self, lines: BinaryIO, size: int | None) -> None:
        self._lines = lines
        self.size = size

    def read(self, advance: Advance) -> Iterator[Candidate]:
        """Yields the messages, in order."""
        now = datetime.now(UTC)
        for number, line in enumerate(self._lines, start=1):
            advance(len(line))
            try:
                yield Candidate(number, line, load_exported_message(loads_object(line), received_at=now))
            except PayloadInvalid as invalid:
                field, reasons = next(iter(invalid.problems.items()))
                yield Candidate(number, line, None, f"{field}: {reasons[0]}")


class DatabaseFile:
    """A SQLite database at the schema of this release; ``size`` is in messages."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.snapshot() as snapshot:
            self.size = count_all(snapshot)

    def read(self, advance: Advance) -> Iterator[Candidate]:
        """Yields the messages, in stored order."""
        after = number = 0
        while True:
            with self._database.snapshot() as snapshot:
                batch = read_feed(snapshot, after, BATCH)
            if not batch:
                return
            for stored in batch:
                number += 1
                yield Candidate(number, ExportFormat.NDJSON.lines([stored]), _as_message(stored))
            advance(len(batch))
            after = batch[-1].id


@contextmanager
def open_import(path: Path) -> Iterator[NdjsonFile | DatabaseFile]:
    """Opens a file to import messages from, or standard input; ImportInvalid for a database without messages.

    A database is copied, and the copy is migrated: migrations know the schema of the FastAPI original, too.
    """
    if path == STANDARD_INPUT:
        yield NdjsonFile(sys.stdin.buffer, size=None)
        return
    with path.open("rb") as file:
        is_database = file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
        file.seek(0)
        if not is_database:
            yield NdjsonFile(file, path.stat().st_size)
            return
    original = URL.create("sqlite", database=str(path))
    with TemporaryDirectory(prefix="webhook_service-import-") as folder:
        copy = URL.create("sqlite", database=str(Path(folder) / "copy.db"))
        with naming(original):
            _refuse_without_messages(path)
            back_up(original, Path(folder) / "copy.db", progress=lambda _done, _total: None)
            migrate(copy)
        database = Database(copy, pool_size=1)
        try:
            yield DatabaseFile(database)
        finally:
            database.close()


def _refuse_without_messages(path: Path) -> None:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with translated_errors(), closing(sqlite3.connect(uri, uri=True)) as connection:
        tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'messages'").fetchone()
    if not tables[0]:
        raise ImportInvalid("the file is a SQLite database without messages")


def _as_message(stored: StoredMessage) -> Message:
    return Message(
        message_id=stored.message_id,
        provider=stored.provider,
        source=stored.source,
        sender=stored.sender,
        recipient=stored.recipient,
        ts=stored.ts,
        received_at=stored.received_at,
        text=stored.text,
        type=stored.type,
        extra=None if stored.extra is None else orjson.loads(stored.extra),
    )
