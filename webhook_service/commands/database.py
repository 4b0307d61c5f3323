"""Opens the database that the settings name, for one command."""

from collections.abc import Iterator
from contextlib import contextmanager

from webhook_service.commands.cli_errors import naming
from webhook_service.settings import Settings
from webhook_service.storage.database import Database


@contextmanager
def open_database(*, only_to_read: bool = False) -> Iterator[Database]:
    """Gives the database, and closes it at the end; for a command that only reads, the replica if there is one."""
    settings = Settings.from_env()
    replica = settings.read_database_url if only_to_read else None
    url = replica or settings.database_url
    database = Database(url, pool_size=1)
    try:
        with naming(url):
            yield database
    finally:
        database.close()
