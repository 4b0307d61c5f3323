"""Counts that are kept: exact whatever happens to the messages, and read instead of counted."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from tests.support.commands import call_cli
from tests.support.messages import MOMENT, message
from tests.support.migrating import engine, insert, migrate_to
from tests.support.processes import environment
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.messages import Message, MessageFilter
from webhook_service.domain.statistics import Interval
from webhook_service.storage.database import Database
from webhook_service.storage.migrate import migrate
from webhook_service.storage.queries.counts import count_between, count_differences, read_timeline
from webhook_service.storage.queries.insert import timestamp_value
from webhook_service.storage.queries.messages import encode_message, insert_messages
from webhook_service.storage.queries.pages import count_messages
from webhook_service.storage.queries.stats import read_stats

EXACT = {"sender_counts": 0, "hour_counts": 0, "totals": 0}
HOUR, TICK = timedelta(hours=1), timedelta(microseconds=1)
FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)


def store(database: Database, *messages: Message) -> None:
    with database.transaction() as transaction:
        insert_messages(transaction, [encode_message(each) for each in messages])


def delete(database: Database, *message_ids: str) -> None:
    with database.transaction() as transaction:
        for message_id in message_ids:
            transaction.execute(text("DELETE FROM messages WHERE message_id = :id"), {"id": message_id})


def differences(database: Database) -> dict[str, int]:
    with database.snapshot() as snapshot:
        return count_differences(snapshot)


def totals(database: Database) -> tuple[int, int, dict[str, int]]:
    with database.snapshot() as snapshot:
        stats = read_stats(snapshot)
    return stats.total_messages, stats.senders_count, dict(stats.top_senders)


def test_a_batch_is_counted_once_for_each_message_that_is_new(database: Database) -> None:
    store(database, message("1", sender="+1"), message("2", sender="+2"), message("1", sender="+1"))
    store(database, message("2", sender="+2"), message("3", sender="+2", ts=MOMENT + HOUR), message("3", sender="+9"))

    assert totals(database) == (3, 2, {"+2": 2, "+1": 1})
    assert differences(database) == EXACT


def test_a_batch_of_duplicates_changes_no_count(database: Database) -> None:
    store(database, message("1"))
    store(database, message("1"), message("1", sender="+9"))

    assert totals(database) == (1, 1, {message().sender: 1})
    assert differences(database) == EXACT


def test_a_transaction_that_is_undone_leaves_the_counts_alone(database: Database) -> None:
    class Failure(Exception):
        pass

    store(database, message("1"))

    with pytest.raises(Failure), database.transaction() as transaction:  # noqa: PT012  # the failure is what is tested
        insert_messages(transaction, [encode_message(message("2", sender="+9"))])
        raise Failure

    assert totals(database) == (1, 1, {message().sender: 1})
    assert differences(database) == EXACT


def test_a_sender_whose_last_message_is_deleted_is_gone(database: Database) -> None:
    store(database, message("1", sender="+1"), message("2", sender="+2"), message("3", sender="+2"))

    delete(database, "1", "2")

    assert totals(database) == (1, 1, {"+2": 1})
    assert differences(database) == EXACT


def test_the_first_and_the_last_time_follow_a_deletion(database: Database) -> None:
    store(database, *(message(str(at), ts=MOMENT + HOUR * at) for at in range(4)))

    delete(database, "0", "3")

    with database.snapshot() as snapshot:
        stats = read_stats(snapshot)
    assert (stats.first_ts, stats.last_ts) == (MOMENT + HOUR, MOMENT + HOUR * 2)


def test_threads_that_store_and_delete_keep_the_counts_exact(database: Database) -> None:
    def work(turn: int) -> None:
        for at in range(15):
            store(
                database,
                *(message(f"{turn}-{at}-{n}", sender=f"+{(turn + n) % 5}", ts=MOMENT + HOUR * n) for n in range(6)),
            )
            if at % 2:
                delete(database, f"{turn}-{at}-0", f"{turn}-{at - 1}-5")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))

    assert totals(database)[0] == 4 * (15 * 6 - 7 * 2)
    assert differences(database) == EXACT


def test_every_hour_that_has_a_date_is_counted(database: Database) -> None:
    store(
        database,
        *(message(ts=ts) for ts in (FIRST, LAST, MOMENT, MOMENT - TICK, datetime(987, 6, 5, 4, 3, tzinfo=UTC))),
    )

    assert differences(database) == EXACT
    with database.snapshot() as snapshot:
        assert count_between(snapshot, FIRST, LAST) == 4
        assert count_between(snapshot, LAST, None) == 1
        assert count_between(snapshot, None, FIRST + TICK) == 1


sources = st.sampled_from(["native", "shop"])
minutes = st.integers(0, 60 * 24 * 3).map(lambda number: MOMENT + timedelta(minutes=number))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # each example brings its own messages
@given(
    stored=st.lists(st.tuples(minutes, sources), max_size=12),
    since=st.none() | minutes,
    until=st.none() | minutes,
    source=st.none() | sources,
)
def test_a_range_and_its_timeline_hold_what_lies_in_it(
    database: Database,
    stored: Sequence[tuple[datetime, str]],
    since: datetime | None,
    until: datetime | None,
    source: str | None,
) -> None:
    with database.transaction() as transaction:
        transaction.execute(text("DELETE FROM messages"))
        insert_messages(transaction, [encode_message(message(ts=ts, source=name)) for ts, name in stored])

    stamps = [ts for ts, name in stored if source in {None, name}]
    inside = [ts for ts in stamps if (since is None or since <= ts) and (until is None or ts < until)]
    with database.snapshot() as snapshot:
        assert count_messages(snapshot, MessageFilter(source=source, since=since, until=until)) == len(inside)
        for interval in Interval:
            first, last = since or min([MOMENT, *stamps]), until or max([MOMENT, *stamps]) + TICK
            timeline = read_timeline(snapshot, first, last, interval, source)
            expected = Counter(interval.start_of(ts) for ts in inside)
            assert Counter({start: count for start, count in timeline.counts if count}) == expected
            assert [start for start, _ in timeline.counts] == list(interval.starts(first, last))


def test_every_filter_is_counted_exactly(database: Database) -> None:
    store(
        database,
        message("1", sender="+1", recipient="+8"),
        message("2", sender="+1", recipient="+9", ts=MOMENT + HOUR),
        message("3", sender="+2", recipient="+9", provider="twilio", text="Bye"),
    )

    def count(wanted: MessageFilter) -> int:
        with database.snapshot() as snapshot:
            return count_messages(snapshot, wanted)

    assert count(MessageFilter()) == 3
    assert count(MessageFilter(sender="+1")) == 2
    assert count(MessageFilter(sender="+7")) == 0
    assert count(MessageFilter(sender="+1", since=MOMENT + HOUR)) == 1
    assert count(MessageFilter(sender="+1", recipient="+9")) == 1
    assert count(MessageFilter(sender="+1", q="bye")) == 0
    assert count(MessageFilter(recipient="+9")) == 2
    assert count(MessageFilter(provider="twilio")) == 1
    assert count(MessageFilter(source="native")) == 2
    assert count(MessageFilter(source="shop")) == 0
    assert count(MessageFilter(until=MOMENT + HOUR)) == 2
    assert count(MessageFilter(until=MOMENT + HOUR, provider="native")) == 1
    assert count(MessageFilter(q="BYE")) == 1


def damage(connection: Connection) -> None:
    connection.execute(text("UPDATE sender_counts SET messages = messages + 1 WHERE sender = '+1'"))
    connection.execute(text("DELETE FROM hour_counts"))
    connection.execute(text("INSERT INTO sender_counts (sender, messages) VALUES ('+7', 1)"))


def test_verify_tells_exact_counts_from_wrong_ones(database: Database, database_url: str) -> None:
    store(database, message("1", sender="+1"), message("2", sender="+2"))
    environ = environment(database_url)

    exact = call_cli("stats", "verify", environ=environ)
    with database.transaction() as transaction:
        damage(transaction)
    wrong = call_cli("stats", "verify", environ=environ)

    assert (exact.returncode, exact.stdout, exact.stderr) == (0, "The counts of 2 messages are exact.\n", "")
    assert (wrong.returncode, wrong.stderr) == (1, "")
    assert {"sender_counts: 2 wrong", "hour_counts: 1 wrong"} <= set(wrong.stdout.splitlines())


def test_the_messages_of_an_existing_database_are_counted_when_it_is_migrated(empty_database_url: str) -> None:
    url = parse_url(empty_database_url)
    migrate_to(empty_database_url, "0001")
    with engine(empty_database_url) as made, made.begin() as connection:
        for at in range(10):
            ts = timestamp_value(MOMENT + timedelta(minutes=20 * at))
            provider = "native" if at % 2 else "twilio"
            same = {"provider": provider, "recipient": "+1", "type": "text", "received_at": ts}
            insert(connection, "messages", message_id=f"m-{at}", sender=f"+{at % 3}", ts=ts, **same)

    migrate(url)

    database = Database(url, pool_size=1)
    assert differences(database) == EXACT
    assert totals(database) == (10, 3, {"+0": 4, "+1": 3, "+2": 3})
    database.close()


def test_the_timeline_is_filled_with_zeros(client: FlaskClient, database: Database) -> None:
    store(database, message(ts=MOMENT), message(ts=MOMENT + HOUR * 2 + TICK), message(ts=MOMENT + HOUR * 3))

    answer = client.get("/stats/timeline?interval=hour&since=2025-01-15T10:00:00Z&until=2025-01-15T13:00:00Z")

    assert answer.json == {
        "interval": "hour",
        "since": "2025-01-15T10:00:00Z",
        "until": "2025-01-15T13:00:00Z",
        "data": [
            {"start": "2025-01-15T10:00:00Z", "count": 1},
            {"start": "2025-01-15T11:00:00Z", "count": 0},
            {"start": "2025-01-15T12:00:00Z", "count": 1},
        ],
    }


def test_the_timeline_is_that_of_one_source(client: FlaskClient, database: Database) -> None:
    store(database, message(), message(source="shop"), message(source="shop"))

    answer = client.get("/stats/timeline?since=2025-01-15T00:00:00Z&until=2025-01-16T00:00:00Z&source=shop")

    assert answer.get_json()["data"] == [{"start": "2025-01-15T00:00:00Z", "count": 2}]


def test_the_timeline_shows_the_last_30_days_unless_it_is_asked_for_more(
    client: FlaskClient, database: Database
) -> None:
    now = datetime.now(UTC)
    store(database, message(ts=now - HOUR), message(ts=now - timedelta(days=29)), message(ts=now - timedelta(days=31)))

    timeline = client.get("/stats/timeline").get_json()

    assert timeline["interval"] == "day"
    assert len(timeline["data"]) in {30, 31}
    assert sum(each["count"] for each in timeline["data"]) == 2


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("interval=minute", "interval"),
        ("interval=", "interval"),
        ("since=yesterday", "since"),
        ("until=2025-01-15", "until"),
        ("interval=day&since=2020-01-01T00:00:00Z&until=2022-09-27T00:00:00.000001Z", "since"),
        ("interval=hour&since=0001-01-01T00:00:00Z&until=9999-12-31T23:59:59.999999Z", "since"),
    ],
)
def test_a_timeline_that_is_bad_or_too_long_is_refused(query: str, field: str, sqlite_client: FlaskClient) -> None:
    answer = sqlite_client.get(f"/stats/timeline?{query}")

    assert answer.status_code == 422
    assert list(answer.get_json()["errors"]) == [field]


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("interval=day&since=2020-01-01T00:00:00Z&until=2022-09-27T00:00:00Z", 1000),
        ("interval=hour&until=0001-01-01T02:30:00Z", 3),
        ("interval=hour&since=9999-12-31T22:30:00Z&until=9999-12-31T23:59:59.999999Z", 2),
        ("since=2025-01-15T10:00:00Z&until=2025-01-15T10:00:00Z", 0),
        ("since=2025-01-16T10:00:00Z&until=2025-01-15T10:00:00Z", 0),
    ],
)
def test_a_timeline_may_be_at_the_edge_of_what_is_possible(query: str, number: int, client: FlaskClient) -> None:
    answer = client.get(f"/stats/timeline?{query}")

    assert answer.status_code == 200
    assert [each["count"] for each in answer.get_json()["data"]] == [0] * number
