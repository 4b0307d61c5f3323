"""Searching: the same with an index as without one, for common words and rare ones."""

import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tests.support.messages import MOMENT, as_sent, message, position
from tests.support.postgresql import fresh_database
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.messages import Message, MessageFilter, MessageQuery, Order
from webhook_service.domain.search import fold
from webhook_service.storage.database import Database
from webhook_service.storage.queries.messages import encode_message, insert_messages
from webhook_service.storage.queries.pages import SCANNED, count_messages, has_index_for, read_page

MESSAGES = SCANNED + 2_500
MOST_PARTS = 25  # a few on each level; without merging there would be a hundred or more
PARTS = "SELECT count(DISTINCT segid) FROM message_trigrams_idx"
SET_OF_INDEX = "INSERT INTO message_trigrams (message_trigrams, rank) VALUES"
INDEXED_IN_TENS = """
    CREATE TRIGGER index_stored_messages AFTER INSERT ON messages WHEN new.id % 10 = 0 BEGIN
        INSERT INTO message_trigrams (rowid, text_folded)
            SELECT id, text_folded FROM messages WHERE id > new.id - 10;
    END
"""
WORDS = (
    "hello",
    "Straße",
    "100%",
    "snake_case",
    "C:\\temp",
    'it\'s "so"',
    "İzmir",
    "ΣΊΣΥΦΟΣ",
    "ёлка",
    "日本語",
    "😀😀",
    "a*b",
)


@dataclass(frozen=True)
class Corpus:
    """The messages of a database, in the order of the pages."""

    database: Database
    messages: Sequence[Message]


def make_messages() -> list[Message]:
    """Texts of few words, some in every second message, and some in one of a thousand."""
    chance = random.Random(5)
    weights = [2.0**-at for at in range(len(WORDS))]
    texts = [
        None if chance.random() < 0.05 else " ".join(chance.choices(WORDS, weights, k=chance.randint(0, 4)))
        for _ in range(MESSAGES)
    ]
    return [
        message(f"{at:05}", ts=MOMENT + timedelta(seconds=at), text=text, sender=f"+{chance.randint(1, 3)}")
        for at, text in enumerate(texts)
    ]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of database."""
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module", params=["indexed", "plain"])
def url(kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A migrated database with the index and one without."""
    if kind == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        made = f"sqlite:///{shutil.copy(template, tmp_path_factory.mktemp('search') / 'app.db')}"
        yield drop_index(made) if request.param == "plain" else made
    else:
        server: str = request.getfixturevalue("postgresql_server")
        with fresh_database(server, request.getfixturevalue("postgresql_template")) as made:
            yield drop_index(made) if request.param == "plain" else made


def drop_index(url: str) -> str:
    database = Database(parse_url(url), pool_size=1)
    with database.transaction() as transaction:
        if transaction.dialect.name == "postgresql":
            transaction.execute(text("DROP INDEX IF EXISTS ix_messages_text_folded_trigrams"))
        else:
            for dropped in (
                "TRIGGER index_stored_messages",
                "TRIGGER forget_deleted_message",
                "TRIGGER merge_with_stored",
                "TRIGGER merge_with_deleted",
                "TABLE message_trigrams",
            ):
                transaction.execute(text(f"DROP {dropped}"))
        assert not has_index_for(transaction, "abc")
    database.close()
    return url


@pytest.fixture(scope="module")
def corpus(url: str) -> Iterator[Corpus]:
    """Messages in each of these; some were stored after others were deleted."""
    database = Database(parse_url(url), pool_size=1)
    stored = make_messages()
    passing = [message(f"x{at}", text="hello") for at in range(1_200)]
    shuffled = random.Random(6).sample(stored, len(stored))
    with database.transaction() as transaction:
        insert_messages(transaction, [encode_message(each) for each in passing + shuffled])
        transaction.execute(text("DELETE FROM messages WHERE message_id LIKE 'x%'"))
    yield Corpus(database, stored)
    database.close()


parts_of_words = st.sampled_from(WORDS).flatmap(
    lambda word: st.integers(0, len(word) - 1).flatmap(
        lambda start: st.integers(start + 1, len(word)).map(lambda end: word[start:end])
    )
)
swapped = parts_of_words.map(str.swapcase)
pairs = st.tuples(st.sampled_from(WORDS), st.sampled_from(WORDS)).map(" ".join)
anything = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6)
made_of_signs = st.text("%_\\*\"'a ", min_size=1, max_size=5)


@settings(max_examples=80, deadline=None)
@given(
    q=parts_of_words | swapped | pairs | anything | made_of_signs,
    order=st.sampled_from(Order),
    start=st.none() | st.integers(0, MESSAGES - 1),
    limit=st.integers(1, 30),
    offset=st.sampled_from([0, 0, 7]),
    sender=st.none() | st.just("+1"),
)
def test_a_search_finds_what_holds_the_text(
    corpus: Corpus, q: str, order: Order, start: int | None, limit: int, offset: int, sender: str | None
) -> None:
    expected = [
        each
        for each in corpus.messages
        if each.text is not None and fold(q) in fold(each.text) and sender in {None, each.sender}
    ]
    total = len(expected)
    after = None if start is None else position(corpus.messages[start])
    if order is Order.DESC:
        expected.reverse()
    if after is not None:
        expected = [each for each in expected if (each.ts > after.ts if order is Order.ASC else each.ts < after.ts)]
    wanted = MessageFilter(q=q, sender=sender)

    with corpus.database.snapshot() as snapshot:
        page = read_page(snapshot, MessageQuery(wanted, limit, order, offset, after))
        counted = count_messages(snapshot, wanted)

    assert [as_sent(each) for each in page.items] == expected[offset : offset + limit]
    assert page.next == (position(expected[offset + limit - 1]) if len(expected) > offset + limit else None)
    assert counted == total


def test_the_database_has_the_index(database: Database) -> None:
    with database.snapshot() as snapshot:
        if snapshot.dialect.name == "postgresql" and not snapshot.scalar(
            text("SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'")
        ):
            pytest.skip("this PostgreSQL has no pg_trgm")

        assert has_index_for(snapshot, "abc")
        assert not has_index_for(snapshot, "ab")


@pytest.mark.parametrize("stored_at_once", [1, 999, 1000, 1001])
def test_a_message_is_found_as_soon_as_it_is_stored(stored_at_once: int, database: Database) -> None:
    with database.transaction() as transaction:
        insert_messages(transaction, [encode_message(message(text="needle")) for _ in range(stored_at_once)])

    with database.snapshot() as snapshot:
        assert count_messages(snapshot, MessageFilter(q="NEEDLE")) == stored_at_once


@pytest.mark.parametrize(("number", "characters"), [(4_000, 30), (1_000, 1_200)])
def test_the_index_in_sqlite_is_merged_as_fast_as_it_is_written(number: int, characters: int, sqlite_url: str) -> None:
    chance = random.Random(7)
    database = Database(parse_url(sqlite_url), pool_size=1)
    with database.transaction() as transaction:
        config = {row.k: row.v for row in transaction.execute(text("SELECT k, v FROM message_trigrams_config"))}
        # Its own ways of merging, which would hide that nothing else does: a few hundred pages, or a whole level.
        assert config["automerge"] == 0
        transaction.execute(text(f"{SET_OF_INDEX} ('crisismerge', 1000)"))
        transaction.execute(text("DROP TRIGGER index_stored_messages"))
        transaction.execute(text(INDEXED_IN_TENS))

    most = 0
    for _ in range(number // 10):
        texts = ["".join(chance.choices("abcdefghij ", k=characters)) for _ in range(10)]
        with database.transaction() as transaction:
            insert_messages(transaction, [encode_message(message(text=each)) for each in texts])
            most = max(most, transaction.scalar(text(PARTS)) or 0)
    after_deleting = 0
    for last in range(20, number, 20):
        with database.transaction() as transaction:
            transaction.execute(text(f"DELETE FROM messages WHERE id <= {last}"))
            after_deleting = max(after_deleting, transaction.scalar(text(PARTS)) or 0)
    database.close()

    assert most < MOST_PARTS
    assert after_deleting < MOST_PARTS
