"""A primary and its streaming replica, which tests stop and hold back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

from werkzeug.test import TestResponse

from tests.support.postgresql import PostgresqlServer, administration
from tests.support.waiting import wait_until


@contextmanager
def paused(replica: PostgresqlServer) -> Iterator[None]:
    """The standby goes on receiving, but shows nothing new until the block is left."""
    with administration(replica.url) as connection:
        connection.execute("SELECT pg_wal_replay_pause()")
        wait_until(lambda: value(replica, "SELECT pg_get_wal_replay_pause_state()") == "paused", "the replay to pause")
        try:
            yield
        finally:
            connection.execute("SELECT pg_wal_replay_resume()")


@contextmanager
def stopped(server: PostgresqlServer) -> Iterator[None]:
    """The server is away until the block is left."""
    server.stop("fast")
    try:
        yield
    finally:
        server.start()


def value(server: PostgresqlServer, query: LiteralString) -> Any:
    """The one value that a query finds, past the service."""
    with administration(server.url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def catch_up(primary: PostgresqlServer, replica: PostgresqlServer) -> None:
    """Waits until the replica shows all that the primary has committed; its age is 0 before it has received that."""
    written = value(primary, "SELECT pg_current_wal_lsn()::text")

    def is_replayed() -> bool:
        with administration(replica.url) as connection:
            row = connection.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (written,)).fetchone()
        return row == (True,)

    wait_until(is_replayed, "the replica to catch up")


def is_unavailable(answer: TestResponse) -> bool:
    """Tells whether an answer is the one for a database that is away."""
    return answer.status_code == 503 and answer.headers["Retry-After"].isdecimal() and "detail" in answer.get_json()
