"""Import of messages from the NDJSON of an export, or from the SQLite file of the FastAPI service."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from webhook_service.domain.errors import PayloadInvalid
from webhook_service.domain.messages import Message
from webhook_service.providers.strict_json import loads_object
from webhook_service.schemas.export import load_exported_message
from webhook_service.storage.original import SQLITE_MAGIC, Original

Advance = Callable[[int], None]


class ImportInvalid(Exception):
    """A message in the file can't be understood."""

    def __init__(self, number: int, invalid: PayloadInvalid) -> None:
        field, reasons = next(iter(invalid.errors.items()))
        super().__init__(f"message {number:,} of the file: {field}: {reasons[0]}")


class ImportFile:
    """A file with messages; ``size`` is its length in bytes for NDJSON, its number of messages for SQLite."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            self._is_original = file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
        if self._is_original:
            with closing(Original(path)) as original:
                self.size = original.count
        else:
            self.size = path.stat().st_size

    def read(self, advance: Advance) -> Iterator[Message]:
        """Reads the messages in order and calls ``advance`` with how much of ``size`` was read since the last call.

        Raises ImportInvalid at the first message that can't be understood.
        """
        return self._read_original(advance) if self._is_original else self._read_ndjson(advance)

    def _read_original(self, advance: Advance) -> Iterator[Message]:
        with closing(Original(self._path)) as original:
            for message in _load(original.messages(), lambda exported: exported):
                advance(1)
                yield message

    def _read_ndjson(self, advance: Advance) -> Iterator[Message]:
        with self._path.open("rb") as lines:
            yield from _load(_advancing(lines, advance), loads_object)


def _advancing(lines: Iterable[bytes], advance: Advance) -> Iterator[bytes]:
    for line in lines:
        advance(len(line))
        yield line


def _load(items: Iterable[Any], parse: Callable[[Any], dict[str, Any]]) -> Iterator[Message]:
    now = datetime.now(UTC)
    for number, item in enumerate(items, start=1):
        try:
            yield load_exported_message(parse(item), received_at=now)
        except PayloadInvalid as invalid:
            raise ImportInvalid(number, invalid) from None
