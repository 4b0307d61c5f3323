"""The version of the schema: a database at another migration is refused before any row is touched."""

import sqlite3

import psycopg
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from webhook_service.domain.errors import StorageUnavailable
from webhook_service.storage.errors import first_line, sqlite_code

SCHEMA_VERSION = "0016"
"""The migration that this code reads and writes."""


def refuse_other_schema(server: str, connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    """Raises StorageUnavailable for a new connection if its database is at another migration."""
    cursor = connection.cursor()
    try:
        cursor.execute("SELECT version_num FROM alembic_version")
        row = cursor.fetchone()
        connection.rollback()
    except (sqlite3.OperationalError, psycopg.errors.UndefinedTable) as error:
        if sqlite_code(error) in {sqlite3.SQLITE_ERROR, None}:  # "no such table" has no code of its own
            raise StorageUnavailable(f"{server} is not migrated", first_line(error)) from error
        raise
    finally:
        cursor.close()
    if row is None or row[0] != SCHEMA_VERSION:
        found = "none" if row is None else row[0]
        raise StorageUnavailable(f"{server} is at migration {found}, not at {SCHEMA_VERSION}")
