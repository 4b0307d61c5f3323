"""What both databases must do alike: keep a message once, give it back unchanged, and find it."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from itertools import chain
from threading import Barrier
from traceback import format_exception
from typing import Any

import pytest

from tests.support.messages import MOMENT, as_sent, message
from tests.support.stored import opened
from webhook_service.domain.errors import RowRefused
from webhook_service.domain.limits import SEARCH_MAX
from webhook_service.domain.messages import Message, MessageFilter, MessageQuery, Order
from webhook_service.domain.results import Outcome
from webhook_service.storage.database import Database
from webhook_service.storage.queries.messages import encode_message, find_message, insert_messages
from webhook_service.storage.queries.pages import count_messages, list_messages
from webhook_service.storage.queries.stats import read_stats
from webhook_service.storage.writing import Transaction

CREATED, DUPLICATE, CONFLICT = Outcome.CREATED, Outcome.DUPLICATE, Outcome.CONFLICT


def enter(transaction: Transaction, *messages: Message) -> list[Outcome]:
    return insert_messages(transaction, [encode_message(each) for each in messages])


def store(database: Database, *messages: Message) -> list[Outcome]:
    with database.transaction() as transaction:
        return enter(transaction, *messages)


def find(database: Database, message_id: str) -> Message | None:
    with database.snapshot() as snapshot:
        found = find_message(snapshot, message_id)
    return None if found is None else as_sent(found)


def found_ids(
    database: Database, order: Order = Order.ASC, limit: int = 100, offset: int = 0, **wanted: Any
) -> list[str]:
    query = MessageQuery(MessageFilter(**wanted), limit, order, offset)
    with database.snapshot() as snapshot:
        page = list_messages(snapshot, query)
        if limit == 100 and not offset:
            assert count_messages(snapshot, query.filter) == len(page)
    return [each.message_id for each in page]


def test_a_message_comes_back_unchanged(database: Database) -> None:
    stored = message(
        "wamid.HBg/=+😀\n",
        text="Grüße 😀\r\n\t\\ %_",
        type="image",
        provider="whatsapp",
        extra={"a": [1, 2.5, None, True, {"ä": "\u0000"}], "": 2**63 - 1, "z": -0.5, "b": {}},
    )

    store(database, stored)

    found = find(database, stored.message_id)
    assert found == stored
    assert found is not None
    assert found.extra is not None
    assert list(found.extra) == ["a", "", "z", "b"]


@pytest.mark.parametrize(("text", "extra"), [(None, None), ("", {}), ("a" * 4096, {"a": "b" * 10_000})])
def test_what_is_missing_or_empty_or_long_comes_back_as_it_was(
    text: str | None, extra: dict[str, Any] | None, database: Database
) -> None:
    stored = message("i" * 255, text=text, extra=extra)

    store(database, stored)

    assert find(database, stored.message_id) == stored


@pytest.mark.parametrize(
    "ts",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(1883, 11, 18, 12, 3, 58, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2025, 3, 30, 1, 30, 0, 123_456, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ],
    ids=str,
)
def test_a_time_comes_back_to_the_microsecond_in_utc(ts: datetime, database: Database) -> None:
    stored = message(ts=ts, received_at=ts)

    store(database, stored)

    found = find(database, stored.message_id)
    assert found is not None
    assert (found.ts, found.received_at) == (ts, ts)
    assert (found.ts.tzinfo, found.received_at.tzinfo) == (UTC, UTC)
    assert found_ids(database, since=ts) == [stored.message_id]
    assert found_ids(database, until=ts) == []


def test_the_first_write_of_an_id_wins(database: Database) -> None:
    assert store(database, message("a", text="first")) == [CREATED]
    assert store(database, message("a", text="second", sender="+1")) == [CONFLICT]

    found = find(database, "a")
    assert found is not None
    assert found.text == "first"


def test_the_first_write_wins_within_one_batch(database: Database) -> None:
    outcomes = store(database, message("a", text="1"), message("b"), message("a", text="2"), message("c"), message("a"))

    assert outcomes == [CREATED, CREATED, CONFLICT, CREATED, CONFLICT]
    found = find(database, "a")
    assert found is not None
    assert found.text == "1"


def test_the_first_write_wins_within_one_transaction(database: Database) -> None:
    with database.transaction() as transaction:
        first = enter(transaction, message("a"), message("b"))
        second = enter(transaction, message("b"), message("c"))

    assert first + second == [CREATED, CREATED, DUPLICATE, CREATED]


def test_a_batch_may_be_empty_or_large(database: Database) -> None:
    assert store(database) == []

    batch = [message() for _ in range(2500)]
    assert store(database, *batch, *batch[:100]) == [CREATED] * 2500 + [DUPLICATE] * 100


def test_ids_that_differ_in_a_byte_are_different(database: Database) -> None:
    ids = ["a", "A", "a ", " a", "ä", "a\u0308", "\uff41", "a\u200b"]

    assert store(database, *map(message, ids)) == [CREATED] * len(ids)
    assert all(find(database, message_id) for message_id in ids)


def test_threads_that_store_the_same_ids_create_each_once(database: Database) -> None:
    ids = [f"m{number}" for number in range(10)]
    together = Barrier(8)

    def store_all(turn: int) -> list[tuple[str, Outcome]]:
        together.wait()
        mine: Sequence[str] = ids if turn % 2 else ids[::-1]
        return [(message_id, store(database, message(message_id))[0]) for message_id in mine]

    with ThreadPoolExecutor(8) as threads:
        outcomes = [outcome for answered in threads.map(store_all, range(8)) for outcome in answered]

    assert Counter(outcomes) == Counter(
        {(message_id, outcome): times for message_id in ids for outcome, times in ((CREATED, 1), (DUPLICATE, 7))}
    )


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    class Failure(Exception):
        pass

    with pytest.raises(Failure), database.transaction() as transaction:  # noqa: PT012  # the failure is what is tested
        enter(transaction, message("a"))
        raise Failure

    assert find(database, "a") is None
    assert store(database, message("a")) == [CREATED]


def test_a_refused_row_shows_nothing_of_itself(database: Database) -> None:
    bad = message(text="words", sender=None)

    with pytest.raises(RowRefused) as refused:
        store(database, bad)

    shown = "".join(format_exception(refused.value))
    assert bad.message_id not in shown
    assert "words" not in shown
    assert "IntegrityError" in shown or "NotNullViolation" in shown


def test_messages_are_ordered_by_time_then_by_the_bytes_of_the_id(database: Database) -> None:
    ids = ["Z", "a", "B", "_", "10", "9", "é", "e", "z", "😀", "\uffff", "a b", "a-b", "ab"]
    earlier, later = MOMENT - timedelta(microseconds=1), MOMENT + timedelta(microseconds=1)
    store(database, message("later", ts=later), *map(message, ids), message("earlier", ts=earlier))

    expected = ["earlier", *sorted(ids, key=str.encode), "later"]

    assert found_ids(database) == expected
    assert found_ids(database, Order.DESC) == expected[::-1]


def test_pages_have_no_gap_and_no_repetition(database: Database) -> None:
    store(database, *(message(f"{number:02}", ts=MOMENT + timedelta(seconds=number // 3)) for number in range(25)))

    pages = [found_ids(database, limit=10, offset=offset) for offset in (0, 10, 20, 30)]

    assert [len(page) for page in pages] == [10, 10, 5, 0]
    assert list(chain(*pages)) == [f"{number:02}" for number in range(25)]
    assert found_ids(database, limit=1, offset=2**63 - 101) == []


def test_filters_are_exact_and_all_apply(database: Database) -> None:
    store(
        database,
        message("1", sender="+1", recipient="+9"),
        message("2", sender="+1", recipient="+8", provider="twilio"),
        message("3", sender="+12", recipient="+9"),
    )

    assert found_ids(database, sender="+1") == ["1", "2"]
    assert found_ids(database, recipient="+9") == ["1", "3"]
    assert found_ids(database, provider="twilio") == ["2"]
    assert found_ids(database, sender="+1", recipient="+9") == ["1"]
    assert found_ids(database, sender="+%") == found_ids(database, sender="") == []


def test_since_is_inclusive_and_until_exclusive(database: Database) -> None:
    tick = timedelta(microseconds=1)
    store(database, message("1", ts=MOMENT - tick), message("2", ts=MOMENT), message("3", ts=MOMENT + tick))

    assert found_ids(database, since=MOMENT) == ["2", "3"]
    assert found_ids(database, until=MOMENT) == ["1"]
    assert found_ids(database, since=MOMENT, until=MOMENT + tick) == ["2"]
    elsewhere = MOMENT.astimezone(timezone(timedelta(hours=9)))
    assert found_ids(database, since=elsewhere, until=elsewhere + tick) == ["2"]


@pytest.mark.parametrize(
    ("text", "q"),
    [
        ("Hello World", "O W"),
        ("STRASSE", "straße"),
        ("Straße", "STRASSE"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("ПРИВЕТ, МИР", "привет"),
        ("ёлка", "ЁЛКА"),
        ("İSTANBUL", "istanbul"),
        ("istanbul", "İSTANBUL"),
        ("DİYARBAKIR", "diyarbak\u0131r"),
        ("\u0131sparta", "ISPARTA"),
        ("Cafe\u0301", "CAFÉ"),
        ("CAFÉ", "cafe\u0301"),
        ("ﬁn", "FIN"),
        ("😀 ok", "😀"),
        ("100%", "0%"),
        ("snake_case", "E_C"),
        ("C:\\temp", "c:\\T"),
        ("a/b", "A/B"),
        ('it\'s "quoted"', "'S \""),
        ("line\nbreak", "E\nB"),
    ],
)
def test_a_search_finds_a_part_of_the_text_in_any_case(text: str, q: str, database: Database) -> None:
    store(database, message("wanted", text=text), message("other", text="nothing of it"), message("none", text=None))

    assert found_ids(database, q=q) == ["wanted"]


@pytest.mark.parametrize(
    ("text", "q"),
    [("100", "%"), ("abc", "a_c"), ("abc", "a%"), ("abc", "\\"), ("a/b", "//"), ("abc", "*"), ("abc", "a.c")],
)
def test_a_search_takes_no_character_for_a_wildcard(text: str, q: str, database: Database) -> None:
    store(database, message(text=text))

    assert found_ids(database, q=q) == []


@pytest.mark.parametrize("q", ["%" * SEARCH_MAX, "ΐ" * SEARCH_MAX, "😀" * SEARCH_MAX])
def test_the_longest_search_is_answered(q: str, database: Database) -> None:
    store(database, message("wanted", text=q), message("other"))

    assert found_ids(database, q=q) == ["wanted"]


def test_the_stats_of_nothing_are_empty(database: Database) -> None:
    with database.snapshot() as snapshot:
        stats = read_stats(snapshot)

    assert (stats.total_messages, stats.senders_count, stats.top_senders) == (0, 0, ())
    assert stats.first_ts is stats.last_ts is None


def test_the_stats_tell_totals_and_the_ten_busiest_senders(database: Database) -> None:
    senders = [f"+{number:02}" for number in range(12) for _ in range(number // 2 + 1)]
    tick = timedelta(microseconds=1)
    store(database, *(message(sender=sender, ts=MOMENT + tick * at) for at, sender in enumerate(senders)))

    with database.snapshot() as snapshot:
        stats = read_stats(snapshot)

    assert (stats.total_messages, stats.senders_count) == (len(senders), 12)
    assert stats.top_senders == (
        *(("+10", 6), ("+11", 6), ("+08", 5), ("+09", 5), ("+06", 4)),
        *(("+07", 4), ("+04", 3), ("+05", 3), ("+02", 2), ("+03", 2)),
    )
    assert (stats.first_ts, stats.last_ts) == (MOMENT, MOMENT + tick * (len(senders) - 1))


def test_whether_it_is_ready_is_told_while_another_has_the_turn_to_write(database_url: str) -> None:
    with opened(database_url) as database, opened(database_url) as other, other.transaction():
        problems = database.problems()

    assert problems == []
