"""A migration that adds an index to a large table of SQLite, while others write."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import count
from pathlib import Path
from unittest.mock import patch

import pytest
from sqlalchemy import delete, update

from tests.support.consumers import store
from tests.support.load import Load
from tests.support.migrating import ADDED_INDEX, add_index
from tests.support.server import Server
from tests.support.stored import opened
from webhook_service.configuration.database_url import parse_url
from webhook_service.storage import index_in_steps
from webhook_service.storage.index_in_steps import IndexInSteps
from webhook_service.storage.migrate import migrate
from webhook_service.storage.models import MessageRow

MESSAGES = 200
ROWS = 10  # of a step, so that there are many
STEPS = MESSAGES // ROWS
COLUMNS = ("sender", "received_at")
ENTRIES = f"unfinished_{ADDED_INDEX}"
DEFINITION = f"SELECT type, tbl_name, sql FROM sqlite_master WHERE name = '{ADDED_INDEX}'"


@pytest.fixture
def large_url(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with messages, an index of which takes many steps."""
    with opened(sqlite_url) as database:
        store(database, *(f"old-{number}" for number in range(MESSAGES)))
    monkeypatch.setattr(index_in_steps, "ROWS", ROWS)
    add_index(tmp_path, monkeypatch, *COLUMNS)
    return sqlite_url


@contextmanager
def connected(url: str) -> Iterator[sqlite3.Connection]:
    """A connection that knows nothing of the service."""
    with closing(sqlite3.connect(parse_url(url).database or "")) as connection, connection:
        yield connection


def names(url: str) -> set[str]:
    """The tables, indexes and triggers that are there."""
    with connected(url) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def plan_and_entries(url: str) -> tuple[str, list[tuple[str, str, int]]]:
    """Returns the plan by which SQLite reads the index, and its entries."""
    query = f"SELECT sender, received_at, id FROM messages INDEXED BY {ADDED_INDEX} ORDER BY sender, received_at, id"
    with connected(url) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchone()[3]
        return plan, connection.execute(query).fetchall()


def rows(url: str) -> list[tuple[str, str, int]]:
    """Returns the entries that the index should have."""
    with connected(url) as connection:
        return sorted(connection.execute("SELECT sender, received_at, id FROM messages NOT INDEXED").fetchall())


def is_whole(url: str) -> bool:
    """Tells whether the index has the rows and nothing else, and SQLite finds no fault in the file."""
    plan, entries = plan_and_entries(url)
    assert "COVERING INDEX" in plan
    with connected(url) as connection:
        faults = connection.execute("PRAGMA integrity_check").fetchall()
    return entries == rows(url) and faults == [("ok",)]


def stored_ids(url: str) -> list[str]:
    """The IDs of all messages, whatever the schema."""
    with connected(url) as connection:
        return [message_id for (message_id,) in connection.execute("SELECT message_id FROM messages ORDER BY id")]


@contextmanager
def before_every_turn(do: Callable[[int], object]) -> Iterator[None]:
    """Has a build do something else before each of its turns to write, given which one it is."""
    take_turn = IndexInSteps._turn
    turns = count()

    def turn(self: IndexInSteps) -> AbstractContextManager[None]:
        do(next(turns))
        return take_turn(self)

    with patch.object(IndexInSteps, "_turn", turn):
        yield


def before_turn(number: int, do: Callable[[], object]) -> AbstractContextManager[None]:
    """Has a build do something else before it takes its turn to write for this time."""
    return before_every_turn(lambda turn: do() if turn == number else None)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Tells of each build that came to its end whether its entries became the index."""
    end = IndexInSteps._end
    seen: list[bool] = []

    def note(self: IndexInSteps, *, declare: bool) -> None:
        seen.append(declare)
        end(self, declare=declare)

    monkeypatch.setattr(IndexInSteps, "_end", note)
    return seen


def die() -> None:
    raise KeyboardInterrupt


def change(url: str) -> None:
    """Stores, deletes and changes messages, both of those that have their entry and of those that wait for it."""
    with opened(url) as database:
        known = stored_ids(url)
        with database.transaction() as transaction:
            transaction.execute(delete(MessageRow).where(MessageRow.message_id.in_(known[::7])))
            transaction.execute(update(MessageRow).where(MessageRow.message_id.in_(known[1::7])).values(sender="+0"))
            transaction.execute(update(MessageRow).where(MessageRow.message_id.in_(known[2::7])).values(sender="+9"))
        store(database, *(f"at-{len(known)}-{number}" for number in range(5)))


def test_others_write_between_the_steps(large_url: str) -> None:
    is_unfinished = []

    with opened(large_url) as database:

        def write(turn: int) -> None:
            is_unfinished.append(ENTRIES in names(large_url))
            store(database, f"new-{turn}")

        with before_every_turn(write):
            migrate(parse_url(large_url))

    assert sum(is_unfinished) > STEPS  # none, if the index were made in one turn
    assert len(stored_ids(large_url)) == MESSAGES + len(is_unfinished)
    assert is_whole(large_url)


@pytest.mark.parametrize("turn", [1, STEPS // 2, STEPS + 1], ids=["first", "middle", "last"])
def test_what_is_changed_meanwhile_is_in_the_index_as_it_is_in_the_end(
    large_url: str, turn: int, ends: list[bool]
) -> None:
    with before_turn(turn, lambda: change(large_url)):
        migrate(parse_url(large_url))

    assert ends == [True]
    assert is_whole(large_url)


@pytest.mark.parametrize("turn", [1, STEPS // 2, STEPS + 1], ids=["first", "middle", "last"])
def test_a_build_that_died_is_gone_on_with(large_url: str, turn: int, ends: list[bool]) -> None:
    with before_turn(turn, die), pytest.raises(KeyboardInterrupt):
        migrate(parse_url(large_url))
    left = names(large_url)
    change(large_url)

    migrate(parse_url(large_url))

    assert ENTRIES in left
    assert ends == [True]
    assert is_whole(large_url)
    assert not [name for name in names(large_url) if name.startswith(ENTRIES)]


def test_the_schema_is_that_of_an_index_that_was_made_at_once(large_url: str) -> None:
    before = names(large_url)

    migrate(parse_url(large_url))

    assert names(large_url) == before | {ADDED_INDEX}
    with connected(large_url) as connection:
        kept = connection.execute(DEFINITION).fetchone()
        connection.execute(f"DROP INDEX {ADDED_INDEX}")
        connection.execute(f"CREATE INDEX {ADDED_INDEX} ON messages ({', '.join(COLUMNS)})")
        assert connection.execute(DEFINITION).fetchone() == kept


def test_entries_that_are_not_those_of_the_rows_are_no_index(large_url: str, ends: list[bool]) -> None:
    with before_turn(STEPS, die), pytest.raises(KeyboardInterrupt):
        migrate(parse_url(large_url))
    with connected(large_url) as connection:
        connection.execute(f"INSERT INTO {ENTRIES} VALUES ('+0', '2025-01-15 10:00:00.000000', 10000)")

    migrate(parse_url(large_url))

    assert ends == [False]
    assert is_whole(large_url)


def test_several_processes_may_build_it_at_once(large_url: str) -> None:
    with ThreadPoolExecutor() as threads:
        for built in [threads.submit(migrate, parse_url(large_url)) for _ in range(3)]:
            built.result()

    assert is_whole(large_url)


@pytest.mark.parametrize("turn", [0, 1, STEPS // 2, STEPS + 1], ids=["before", "first", "middle", "last"])
def test_a_process_that_another_overtakes_leaves_the_index_as_it_is(
    large_url: str, turn: int, ends: list[bool]
) -> None:
    with before_turn(turn, lambda: migrate(parse_url(large_url))):
        migrate(parse_url(large_url))

    assert ends == [True]
    assert is_whole(large_url)
    assert not [name for name in names(large_url) if name.startswith(ENTRIES)]


def test_deliveries_go_on_meanwhile(large_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_in_steps, "ROWS", 1)

    with (
        Server(large_url) as server,
        Load(server) as load,
        before_turn(MESSAGES // 2, lambda: load.wait_for_every_sender(200)),
    ):
        migrate(parse_url(large_url))

    assert load.statuses() == {200}
    assert is_whole(large_url)


@pytest.mark.parametrize("columns", [("text_folded",), ("length(message_id)",)], ids=["null", "expression"])
def test_what_can_not_be_made_in_steps_is_made_in_the_migration(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: tuple[str, ...]
) -> None:
    add_index(tmp_path, monkeypatch, *columns)
    before = names(sqlite_url)

    with patch.object(IndexInSteps, "build") as build:
        migrate(parse_url(sqlite_url))

    assert not build.called
    assert names(sqlite_url) == before | {ADDED_INDEX}
