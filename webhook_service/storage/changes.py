"""Noticing that something was stored, whoever stored it."""

import sqlite3
import time
from typing import Any, Protocol

SQLITE_PAUSE = 0.01  # seconds between two looks at a number, which takes some 10 µs
POSTGRESQL_PAUSE = 0.05  # likewise, where the server's announcements don't come through
CHANNEL = "webhook_service_messages"
"""On which a trigger of the migrations announces messages."""


class Changes(Protocol):
    """What is stored from when it was made on."""

    def wait(self, seconds: float) -> bool:
        """Waits until something was stored, for so many seconds at most; tells whether that is why it ended."""

    def note_missed(self) -> None:
        """Learns that messages were stored of which it did not tell."""

    def close(self) -> None:
        """Closes the connection."""


class SqliteChanges:
    """Watches a number of SQLite's that is another after each commit of another connection.

    https://www.sqlite.org/pragma.html#pragma_data_version
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._version = self._read()

    def wait(self, seconds: float) -> bool:
        """Waits for a commit; tells whether there was one."""
        deadline = time.monotonic() + seconds
        while (version := self._read()) == self._version:
            if time.monotonic() >= deadline:
                return False
            time.sleep(SQLITE_PAUSE)
        self._version = version
        return True

    def note_missed(self) -> None:
        """Does nothing: the number can't be missed."""

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _read(self) -> int:
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)


class PostgresqlChanges:
    """Listens to what a trigger announces.

    A pool between the service and the server, such as PgBouncer, may take the announcements away. Once messages came
    without one, those who wait look for themselves.
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
        """Stops to rely on announcements."""
        self._hears_all = False

    def close(self) -> None:
        """Closes the connection, which nobody else may use, as it listens."""
        self._pooled.invalidate()
