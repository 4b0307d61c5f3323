"""The SQLite file of the FastAPI service that this one replaces.

Its table ``messages`` has message_id, from_msisdn, to_msisdn (``to_msisddn`` in some of its versions), ts, text and
created_at; times without a zone are UTC.
"""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from webhook_service.domain.errors import StorageUnavailable

SQLITE_MAGIC = b"SQLite format 3\0"  # https://www.sqlite.org/fileformat.html#magic_header_string


class Original:
    """The file, open for reading; StorageUnavailable when it is not that service's."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)
        try:
            columns = [name for _, name, *_ in self._connection.execute("PRAGMA table_info(messages)")]
            self._recipient = next(name for name in columns if name.startswith("to_"))
            self.count: int = self._connection.execute("SELECT count(*) FROM messages").fetchone()[0]
        except (sqlite3.Error, StopIteration) as error:
            self.close()
            raise StorageUnavailable("the file has no messages of the FastAPI service", str(error)) from error

    def messages(self) -> Iterator[dict[str, Any]]:
        """Reads each message in stored order, in the shape of a line of an export."""
        for message_id, sender, recipient, ts, text, created_at in self._connection.execute(
            f'SELECT message_id, from_msisdn, "{self._recipient}", ts, text, created_at FROM messages ORDER BY rowid'  # noqa: S608  # a column's name from the file's own schema
        ):
            yield {
                "message_id": message_id,
                "from": sender,
                "to": recipient,
                "ts": _with_zone(ts),
                "text": text,
                "received_at": _with_zone(created_at),
            }

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()


def _with_zone(stored: Any) -> Any:
    """Adds UTC to a stored time without a zone; anything else is returned as it is, to be refused by the schema."""
    try:
        moment = datetime.fromisoformat(stored)
    except (TypeError, ValueError):
        return stored
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
