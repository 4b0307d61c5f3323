"""Noticing that something was stored."""

import time

from tests.support.consumers import store
from webhook_service.configuration.database_url import parse_url
from webhook_service.storage.database import Database

PATIENCE = 30.0


def test_what_another_connection_stores_is_noticed_and_nothing_else(database: Database) -> None:
    with database.watching() as changes:
        assert not changes.wait(0)
        store(database, "m1")
        assert changes.wait(PATIENCE)
        assert not changes.wait(0)


def test_where_announcements_do_not_come_through_those_who_wait_look_themselves(postgresql_url: str) -> None:
    database = Database(parse_url(postgresql_url), pool_size=2)
    with database.watching() as changes:
        changes.note_missed()
        began = time.monotonic()
        assert changes.wait(PATIENCE)
    database.close()

    assert time.monotonic() - began < PATIENCE / 2
