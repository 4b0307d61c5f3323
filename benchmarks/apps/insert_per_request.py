"""The service as it would usually be written: each delivery is a transaction, and waits for SQLite's own locks.

It runs on gunicorn's threaded worker, whose threads each take in their own delivery, and without the writer lock.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import webhook_service.app
import webhook_service.storage.sqlite
from webhook_service.storage.database import Database
from webhook_service.storage.errors import translated_errors
from webhook_service.storage.writing import Turn


class Unqueued(Database):
    """A database that lets every thread write whenever SQLite lets it."""

    @contextmanager
    def turn_to_write(self, patience: float | None = None) -> Iterator[Turn]:  # noqa: ARG002  # SQLite's own timeout holds
        """Gives the turn at once to every thread that asks."""
        with translated_errors():
            yield Turn(self._backend._writer)  # type: ignore[attr-defined]  # noqa: SLF001  # this app leaves out the turn


webhook_service.storage.sqlite.WRITER_TIMEOUT = 5.0  # sqlite3's default, which is what programs usually have
webhook_service.storage.sqlite.WRITER_CONNECTIONS = 16  # one for each thread
webhook_service.app.Database = Unqueued  # type: ignore[attr-defined]  # all else is wired as in the service
app = webhook_service.app.create_app()
