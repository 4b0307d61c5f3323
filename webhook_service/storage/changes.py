"""Notices that something was stored, by whatever process."""

import sqlite3
import time
from collections.abc import Callable
from typing import Any, Protocol

from webhook_service.domain.errors import ConnectionLost

SQLITE_PAUSE = 0.01  # seconds between two looks at SQLite's number, each of which takes some 10 µs
POSTGRESQL_PAUSE = 0.05  # seconds between two looks for messages, where the server's announcements don't come through
CHANNEL = "webhook_service_messages"
"""The channel on which a trigger announces messages; the migrations make the trigger."""


class Changes(Protocol):
    """Notices changes: what is stored from the time on at which it was made."""

    def wait(self, seconds: float) -> bool:
        """Waits until something is stored, for at most ``seconds``; tells whether something may have been."""

    def note_missed(self) -> None:
        """Takes note that messages were stored which ``wait`` has not reported."""

    def close(self) -> None:
        """Closes the connection."""


class SqliteChanges:
    """Watches a number of SQLite's that changes with each commit of another connection.

    https://www.sqlite.org/pragma.html#pragma_data_version
    """

    def __init__(self, connection: sqlite3.Connection, is_current: Callable[[], bool]) -> None:
        self._connection = connection
        self._is_current = is_current
        self._version = self._read()

    def wait(self, seconds: float) -> bool:
        """Waits for a commit; tells whether there was one. ConnectionLost when another file is in use by now."""
        deadline = time.monotonic() + seconds
        while (version := self._read()) == self._version:
            if not self._is_current():
                raise ConnectionLost("the database file was replaced")
            if time.monotonic() >= deadline:
                return False
            time.sleep(SQLITE_PAUSE)
        self._version = version
        return True

    def note_missed(self) -> None:
        """Does nothing: a change of the number can't be missed."""

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _read(self) -> int:
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)


class PostgresqlChanges:
    """Listens to the announcements of a trigger.

    A pooler between the service and the server, such as PgBouncer, may swallow the announcements. Once messages came
    without one, ``wait`` returns after each short pause, so that its callers look for themselves.
    """

    def __init__(self, connection: Any) -> None:
        self._pooled = connection
        self._driver = connection.driver_connection
        self._hears_all = True
        self._driver.execute(f"LISTEN {CHANNEL}")

    def wait(self, seconds: float) -> bool:
        """Waits for an announcement; tells whether there was one."""
        if not self._hears_all:
            time.sleep(min(seconds, POSTGRESQL_PAUSE))
            return True
        return any(True for _ in self._driver.notifies(timeout=seconds, stop_after=1))

    def note_missed(self) -> None:
        """Stops relying on announcements."""
        self._hears_all = False

    def close(self) -> None:
        """Closes the connection, which nobody else may use again, since it listens."""
        self._pooled.invalidate()
