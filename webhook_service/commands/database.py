"""The database that the settings name, for one command."""

from collections.abc import Iterator
from contextlib import contextmanager

from webhook_service.settings import Settings
from webhook_service.storage.database import Database


@contextmanager
def open_database() -> Iterator[Database]:
    """Opens it and closes it again."""
    database = Database(Settings.from_env().database_url, pool_size=1)
    try:
        yield database
    finally:
        database.close()
