"""The service as it is usually written: a transaction for each delivery, with SQLite's own locks to wait for.

It runs on gunicorn's threaded worker, whose threads each take in their own delivery, and without the writer lock.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import webhook_service.app
import webhook_service.storage.sqlite
from webhook_service.storage.database import Database
from webhook_service.storage.errors import domain_errors
from webhook_service.storage.writing import Turn


@contextmanager
def writing(database: Database, _patience: float | None = None) -> Iterator[Turn]:
    """Lets every thread write whenever SQLite lets it."""
    with domain_errors():
        yield Turn(database._backend._writer)  # type: ignore[attr-defined]  # noqa: SLF001  # what this app leaves out


webhook_service.storage.sqlite.WRITER_TIMEOUT = 5.0  # sqlite3's default, as it is used everywhere
webhook_service.storage.sqlite.WRITER_CONNECTIONS = 16  # one for each thread
Database.writing = writing  # type: ignore[method-assign]  # likewise
app = webhook_service.app.create_app()
