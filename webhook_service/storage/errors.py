"""Translates the errors of database drivers into those of the domain."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from webhook_service.domain.errors import ConnectionLost, RowRefused, StorageBusy, StorageUnavailable

PRIMARY = "the database"
REPLICA = "the replica"

BUSY = "timed out waiting for the turn to write"
MISSING = "the database file is missing or can't be opened"

_SQLITE_DETAILS = {
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_CANTOPEN: MISSING,
    sqlite3.SQLITE_CORRUPT: "the database file is damaged",
    sqlite3.SQLITE_FULL: "no room to write",
    sqlite3.SQLITE_NOTADB: "the database file is not a database",
    sqlite3.SQLITE_READONLY: "the database is not writable",
}
_POSTGRESQL_DETAILS = {
    # https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-CONFLICT
    "40001": "the replica gave up the read to keep up with the primary",
}


@contextmanager
def translated_errors(server: str = PRIMARY) -> Iterator[None]:
    """Raises a driver's errors in the block as StorageUnavailable, which names the ``server``, or as RowRefused."""
    try:
        yield
    except (IntegrityError, DataError) as error:
        # The texts of the driver's error and of its wrapper quote the row, which no log may show.
        raise RowRefused(type(error.orig).__name__) from None
    except (sqlite3.IntegrityError, sqlite3.DataError, psycopg.IntegrityError, psycopg.DataError) as error:
        raise RowRefused(type(error).__name__) from None
    except UnicodeEncodeError as error:
        # The row has a lone surrogate, which no driver can send. This error's text quotes the row, too.
        raise RowRefused(type(error).__name__) from None
    except DBAPIError as error:
        if error.connection_invalidated:
            raise connection_lost(server, error.orig) from error.orig
        raise unavailable(server, error.orig) from error.orig
    except (PoolTimeout, sqlite3.Error, psycopg.Error) as error:
        raise unavailable(server, error) from error


def unavailable(server: str, error: BaseException | None) -> StorageUnavailable:
    """Returns the domain's error for a server that can't be used, which says why in the service's words."""
    kind = StorageBusy if sqlite_code(error) == sqlite3.SQLITE_BUSY else StorageUnavailable
    return kind(sqlite_detail(error) or _postgresql_detail(error) or _not_available(server), first_line(error))


def connection_lost(server: str, error: BaseException | None) -> ConnectionLost:
    """Returns the domain's error for a connection that broke in use."""
    return ConnectionLost(_not_available(server), first_line(error))


def sqlite_code(error: BaseException | None) -> int | None:
    """Returns the primary result code of a SQLite error (https://www.sqlite.org/rescode.html); None for any other."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def sqlite_detail(error: BaseException | None) -> str | None:
    """Returns what a SQLite error means for the database, in the service's words; None for any other error."""
    return _SQLITE_DETAILS.get(sqlite_code(error) or sqlite3.SQLITE_OK)


def _postgresql_detail(error: BaseException | None) -> str | None:
    return _POSTGRESQL_DETAILS.get(getattr(error, "sqlstate", None) or "")


def _not_available(server: str) -> str:
    return f"{server} is not available"


def first_line(error: BaseException | None) -> str | None:
    """Returns the kind of an error and the first line of its text, for the log."""
    return None if error is None else f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
