"""Databases that are filled for benchmarks: like those that the service filled, only sooner."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from benchmarks.fill import ABSENT_WORD, COMMON_WORD, fill, rows
from tests.support.messages import as_sent, message
from tests.support.postgresql import fresh_database
from tests.support.stored import is_intact, opened, stored_ids
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.messages import MessageFilter, MessageQuery
from webhook_service.storage.migrate import migrate
from webhook_service.storage.queries.counts import count_all, count_differences
from webhook_service.storage.queries.messages import encode_message, insert_messages
from webhook_service.storage.queries.pages import count_messages, list_messages

MESSAGES, SENDERS = 600, 50

EXACT = {"sender_counts": 0, "hour_counts": 0, "totals": 0}

SCHEMA = {
    "sqlite": [
        "SELECT type, name, tbl_name, sql FROM sqlite_master",
        "SELECT version_num FROM alembic_version",
        "PRAGMA journal_mode",
    ],
    "postgresql": [
        "SELECT table_name, ordinal_position, column_name, data_type, character_maximum_length, is_nullable,"
        " column_default, collation_name, identity_generation FROM information_schema.columns"
        " WHERE table_schema = 'public'",
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace",
        "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
        "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
        "SELECT version_num FROM alembic_version",
    ],
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A filled database of each kind, for tests that only read it."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('filled') / 'new' / 'app.db'}"
        fill(url, MESSAGES, SENDERS)
        yield url
    else:
        with fresh_database(request.getfixturevalue("postgresql_server")) as url:
            fill(url, MESSAGES, SENDERS)
            yield url


def schema(url: str) -> list[list[tuple[Any, ...]]]:
    """All that defines the tables and what hangs on them, in no particular order."""
    engine = create_engine(parse_url(url), poolclass=NullPool)
    with engine.connect() as connection:
        queries = SCHEMA[connection.dialect.name]
        return [sorted((tuple(row) for row in connection.execute(text(query))), key=repr) for query in queries]


def test_a_filled_database_has_the_schema_of_a_migrated_one(empty_database_url: str) -> None:
    fill(empty_database_url, MESSAGES, SENDERS)
    found = schema(empty_database_url)

    wipe(empty_database_url)
    migrate(parse_url(empty_database_url))

    assert found == schema(empty_database_url)


def wipe(url: str) -> None:
    """Leaves nothing in the database."""
    parsed = parse_url(url)
    if parsed.drivername == "sqlite":
        Path(parsed.database or "").unlink()
        return
    with create_engine(parsed, poolclass=NullPool).begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))


def test_a_filled_database_holds_messages_as_the_service_stores_them(filled_url: str) -> None:
    with opened(filled_url) as database, database.snapshot() as snapshot:
        stored = list_messages(snapshot, MessageQuery(MessageFilter(), limit=MESSAGES + 1))
    made = sorted(rows(MESSAGES, SENDERS))

    encoded = sorted(encode_message(as_sent(each)) for each in stored)

    assert [(*row[:2], *row[3:9], row[10]) for row in encoded] == made
    assert is_intact(filled_url)


def test_the_counts_of_a_filled_database_are_exact(filled_url: str) -> None:
    with opened(filled_url) as database, database.snapshot() as snapshot:
        assert count_all(snapshot) == MESSAGES
        assert count_differences(snapshot) == EXACT


@pytest.mark.parametrize("part", [COMMON_WORD, ABSENT_WORD, "LOVE", "a"])
def test_a_search_in_a_filled_database_finds_what_was_stored(part: str, filled_url: str) -> None:
    holding = [row for row in rows(MESSAGES, SENDERS) if part.lower() in row[6]]

    with opened(filled_url) as database, database.snapshot() as snapshot:
        assert count_messages(snapshot, MessageFilter(q=part)) == len(holding)
        assert bool(holding) == (part != ABSENT_WORD)


def test_a_filled_database_goes_on_like_any_other(empty_database_url: str) -> None:
    fill(empty_database_url, MESSAGES, SENDERS)
    later = message("later", text="zyzzyva")

    with opened(empty_database_url) as database:
        with database.transaction() as transaction:
            insert_messages(transaction, [encode_message(later)])
        with database.snapshot() as snapshot:
            found = list_messages(snapshot, MessageQuery(MessageFilter(q="zyzzyva"), limit=2))
            differences = count_differences(snapshot)

    assert [as_sent(each) for each in found] == [later]
    assert differences == EXACT
    assert stored_ids(empty_database_url)[-1] == "later"


def test_only_a_new_database_is_filled(database_url: str) -> None:
    with pytest.raises(click.ClickException, match="new database"):
        fill(database_url, MESSAGES, SENDERS)

    assert stored_ids(database_url) == []


def test_texts_are_short_and_a_fifth_of_them_has_the_common_word() -> None:
    texts = [row[6] for row in rows(5_000, SENDERS)]

    assert {len(text.split()) for text in texts} == set(range(3, 13))
    assert sum(COMMON_WORD in text for text in texts) == pytest.approx(1_000, rel=0.1)
    assert not any(ABSENT_WORD in text for text in texts)
    assert all(re.fullmatch("[a-z ]+", text) for text in texts)
