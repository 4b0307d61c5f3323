"""Noticing that something was stored."""

import time
from pathlib import Path

import pytest

from tests.support.consumers import store
from tests.support.stored import opened
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.errors import ConnectionLost
from webhook_service.storage.database import Database
from webhook_service.storage.migrate import migrate

PATIENCE = 30.0


def test_what_another_connection_stores_is_noticed_and_nothing_else(database: Database) -> None:
    with database.changes() as changes:
        assert not changes.wait(0)
        store(database, "m1")
        assert changes.wait(PATIENCE)
        assert not changes.wait(0)


def test_those_who_wait_are_told_that_the_file_was_replaced(sqlite_url: str, tmp_path: Path) -> None:
    other = tmp_path / "restored.db"
    migrate(parse_url(f"sqlite:///{other}"))

    with opened(sqlite_url) as database, database.changes() as changes:
        other.replace(tmp_path / "app.db")
        with pytest.raises(ConnectionLost):
            changes.wait(PATIENCE)


def test_where_announcements_do_not_come_through_those_who_wait_look_themselves(postgresql_url: str) -> None:
    database = Database(parse_url(postgresql_url), pool_size=2)
    with database.changes() as changes:
        changes.note_missed()
        began = time.monotonic()
        assert changes.wait(PATIENCE)
    database.close()

    assert time.monotonic() - began < PATIENCE / 2
