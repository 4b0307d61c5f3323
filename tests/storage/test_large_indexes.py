"""A migration that adds an index to a large table or drops one, while deliveries go on."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.load import SENDERS, Load
from tests.support.migrating import ADDED_INDEX, add_index, drop_index
from tests.support.postgresql import administration
from tests.support.server import Server
from tests.support.waiting import wait_until
from webhook_service.configuration.database_url import parse_url
from webhook_service.storage.migrate import migrate

ROWS = 2_000
# Each row takes a millisecond, as if there were many more of them: so long that deliveries which had to wait for the
# turn to write would be told to come back.
SLOW = """
    CREATE FUNCTION slowly(value text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_sleep(CASE WHEN value LIKE ''row-%'' THEN 0.001 ELSE 0 END); RETURN value; END'
"""
IS_VALID = f"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{ADDED_INDEX}')"

DROPPED_INDEX = "ix_messages_ts_message_id"
IS_WAITING = f"""
    SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE NOT granted AND state = 'active' AND query LIKE 'DROP INDEX%{DROPPED_INDEX}'
"""


@pytest.fixture
def large(postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database in which the index takes some seconds."""
    with administration(postgresql_url) as connection:
        connection.execute(SLOW)
        connection.execute(
            "INSERT INTO messages (message_id, source, sender, recipient, ts, type, received_at)"
            f" SELECT 'row-' || n, 'native', '+1', '+2', now(), 'text', now() FROM generate_series(1, {ROWS}) AS n"
        )
    add_index(tmp_path, monkeypatch, "slowly(message_id)")
    return postgresql_url


def test_deliveries_go_on_while_an_index_is_built(large: str) -> None:
    with Server(large) as server, Load(server) as load:
        load.wait_for_every_sender(200)
        seen = len(load.answers)
        migrate(parse_url(large))
        during = load.answers[seen:]

    with administration(large) as connection:
        assert connection.execute(IS_VALID).fetchone() == (True,)
    assert {answer.status for answer in during} == {200}  # one that waits for over a second gets 503
    assert {answer.sender for answer in during} == set(range(SENDERS))


def test_several_processes_may_build_it_at_once(large: str) -> None:
    with ThreadPoolExecutor() as threads:
        for built in [threads.submit(migrate, parse_url(large)) for _ in range(3)]:
            built.result()

    with administration(large) as connection:
        assert connection.execute(IS_VALID).fetchone() == (True,)


def test_an_index_that_was_left_unfinished_is_built_anew(large: str) -> None:
    with administration(large) as connection:
        connection.execute(f"CREATE INDEX {ADDED_INDEX} ON messages (type)")
        connection.execute(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{ADDED_INDEX}'::regclass")

    migrate(parse_url(large))

    with administration(large) as connection:
        assert connection.execute(IS_VALID).fetchone() == (True,)
        (definition,) = connection.execute(f"SELECT pg_get_indexdef('{ADDED_INDEX}'::regclass)").fetchone() or ("",)
    assert "slowly" in definition


def test_a_new_database_gets_it_with_its_table(
    empty_postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_index(tmp_path, monkeypatch, "type")

    migrate(parse_url(empty_postgresql_url))

    with administration(empty_postgresql_url) as connection:
        assert connection.execute(IS_VALID).fetchone() == (True,)


def test_deliveries_go_on_while_an_index_waits_to_be_dropped(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_index(tmp_path, monkeypatch, DROPPED_INDEX)
    with (
        Server(postgresql_url) as server,
        Load(server) as load,
        ThreadPoolExecutor() as threads,
        administration(postgresql_url) as observer,
        administration(postgresql_url) as reader,
    ):
        reader.autocommit = False
        reader.execute("SELECT count(*) FROM messages")  # as a backup reads, in a transaction that goes on
        migrating = threads.submit(migrate, parse_url(postgresql_url))
        wait_until(lambda: observer.execute(IS_WAITING).fetchone() == (1,), "the migration to wait")
        seen = len(load.answers)
        load.wait_for_every_sender(200)
        during = load.answers[seen:]
        assert not migrating.done()
        reader.rollback()
        migrating.result()

        assert observer.execute(f"SELECT to_regclass('{DROPPED_INDEX}')").fetchone() == (None,)
    assert {answer.status for answer in during} == {200}
