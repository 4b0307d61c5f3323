"""What the databases do for a read: enter an index and leave it again, never go through the table or sort it."""

import random
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from tests.support.messages import MOMENT, message
from tests.support.postgresql import fresh_database
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.consumers import FeedFilter
from webhook_service.domain.limits import ROW_ID_MAX
from webhook_service.domain.messages import MessageFilter, MessageQuery, Order, Position
from webhook_service.domain.statistics import Interval
from webhook_service.storage.database import Database
from webhook_service.storage.queries.consumers import count_up_to
from webhook_service.storage.queries.counts import read_timeline
from webhook_service.storage.queries.deletion import TABLES
from webhook_service.storage.queries.messages import (
    encode_message,
    find_message,
    insert_messages,
    newest_by_source,
    read_feed,
)
from webhook_service.storage.queries.pages import count_messages, list_messages, read_page
from webhook_service.storage.queries.stats import read_stats

MESSAGES = 20_000
STEP = timedelta(minutes=5)
MIDDLE = MOMENT + STEP * (MESSAGES // 2)

Read = Callable[[Connection], object]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A migrated database of each kind for this module."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        yield f"sqlite:///{shutil.copy(template, tmp_path_factory.mktemp('plans') / 'app.db')}"
    else:
        server: str = request.getfixturevalue("postgresql_server")
        with fresh_database(server, request.getfixturevalue("postgresql_template")) as made:
            yield made


@pytest.fixture(scope="module")
def filled(url: str) -> Iterator[Database]:
    """A database with so many messages that going through them would be dear."""
    chance = random.Random(1)
    database = Database(parse_url(url), pool_size=1)
    rows = [
        encode_message(
            message(
                ts=MOMENT + STEP * at,
                sender=f"+{chance.randint(1, 20)}" if at % 2 else f"+once{at}",
                recipient=f"+{chance.randint(1, 50)}",
                provider=chance.choice(("native", "twilio")),
                type="image" if at % 500 == 0 else "text",
            )
        )
        for at in range(MESSAGES)
    ]
    with database.transaction() as transaction:
        insert_messages(transaction, rows)
        transaction.execute(text("ANALYZE"))
    yield database
    database.close()


@pytest.fixture
def without_statistics(url: str, filled: Database) -> Iterator[Database]:
    """The same database as it is before its first ANALYZE: when it is new, restored, or upgraded by ``pg_upgrade``."""
    table = "sqlite_stat1" if url.startswith("sqlite") else "pg_statistic"
    with filled.transaction() as transaction:
        transaction.execute(text(f"DELETE FROM {table}"))
    database = Database(parse_url(url), pool_size=1)
    yield database
    database.close()
    with filled.transaction() as transaction:
        transaction.execute(text("ANALYZE"))


def plans(database: Database, read: Read) -> list[str]:
    """How the database carries out each statement of a read, as it says itself."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_others: object) -> None:
        if statement.startswith("SELECT"):
            statements.append((statement, parameters))

    with database.snapshot() as snapshot:
        event.listen(snapshot, "before_cursor_execute", note)
        read(snapshot)
        event.remove(snapshot, "before_cursor_execute", note)
        explain = "EXPLAIN" if snapshot.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        explained = [
            snapshot.exec_driver_sql(f"{explain} {statement}", parameters) for statement, parameters in statements
        ]
        return ["\n".join(str(row[-1]) for row in plan) for plan in explained]


def goes_through_the_table(plan: str) -> bool:
    """Tells whether it reads each message, in whatever order; reading an index until the page is full is not that."""
    return any(
        "Seq Scan on messages" in line
        or ("SCAN messages" in line and "USING INDEX" not in line)
        or ("SCAN messages" in line and "COVERING" in line)
        for line in plan.splitlines()
    )


FINDS_NOTHING = "One-Time Filter: false"  # PostgreSQL 18 sees that no message can be of one source and another


def sorts(plan: str) -> bool:
    return any("TEMP B-TREE" in line or "Sort" in line for line in plan.splitlines())


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("after", [None, Position(MIDDLE, "m")], ids=["first", "deep"])
@pytest.mark.parametrize(
    "wanted",
    [
        MessageFilter(),
        MessageFilter(sender="+7"),
        MessageFilter(recipient="+7"),
        MessageFilter(provider="twilio"),
        MessageFilter(provider="whatsapp"),
        MessageFilter(provider="absent"),
        MessageFilter(source="twilio"),
        MessageFilter(source="berlin"),
        MessageFilter(source="berlin", provider="whatsapp"),
        MessageFilter(type="image"),
        MessageFilter(type="absent"),
        MessageFilter(since=MOMENT + STEP),
        MessageFilter(until=MIDDLE + STEP * 9),
        MessageFilter(sender="+7", since=MOMENT + STEP, until=MIDDLE + STEP * 9),
    ],
    ids=str,
)
def test_a_page_is_read_from_an_index(
    wanted: MessageFilter, after: Position | None, order: Order, filled: Database
) -> None:
    for plan in plans(filled, lambda snapshot: read_page(snapshot, MessageQuery(wanted, 50, order, after=after))):
        if FINDS_NOTHING in plan:
            continue
        assert not goes_through_the_table(plan), plan
        assert not sorts(plan), plan
        assert "Index Scan" in plan or "Index Only Scan" in plan or re.search("USING (COVERING )?INDEX", plan), plan


def test_the_feed_is_read_in_its_order_without_statistics(without_statistics: Database) -> None:
    reads: list[Read] = [
        lambda snapshot: read_feed(snapshot, 0, 100),
        lambda snapshot: read_feed(snapshot, MESSAGES // 2, 1_000),
        lambda snapshot: count_up_to(snapshot, FeedFilter(), 0, ROW_ID_MAX, 1_000),
    ]
    for plan in (plan for read in reads for plan in plans(without_statistics, read)):
        assert not goes_through_the_table(plan), plan
        assert not sorts(plan), plan


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("wanted", [MessageFilter(), MessageFilter(since=MOMENT, until=MIDDLE + STEP * 9)], ids=str)
def test_a_deep_page_enters_the_index_at_its_place(wanted: MessageFilter, order: Order, filled: Database) -> None:
    after = Position(MIDDLE, "m")

    (plan,) = plans(filled, lambda snapshot: read_page(snapshot, MessageQuery(wanted, 50, order, after=after)))

    assert "(ts,message_id)" in plan or re.search(r"Index Cond: .*ROW\(ts, \(message_id\)::text\)", plan), plan


@pytest.mark.parametrize(
    "read",
    [
        read_stats,
        lambda snapshot: read_timeline(snapshot, MOMENT + STEP, MIDDLE + STEP, Interval.DAY),
        lambda snapshot: count_messages(snapshot, MessageFilter()),
        lambda snapshot: count_messages(snapshot, MessageFilter(sender="+7")),
        lambda snapshot: count_messages(snapshot, MessageFilter(since=MOMENT + STEP, until=MIDDLE + STEP)),
        lambda snapshot: count_messages(snapshot, MessageFilter(source="native")),
        lambda snapshot: count_messages(snapshot, MessageFilter(source="native", since=MIDDLE + STEP)),
        lambda snapshot: count_messages(snapshot, MessageFilter(sender="+7", since=MIDDLE)),
        lambda snapshot: count_messages(snapshot, MessageFilter(recipient="+7")),
        lambda snapshot: TABLES["messages"].about_number(snapshot, "+7")[0].count_and_find_oldest(snapshot),
        lambda snapshot: read_feed(snapshot, MESSAGES // 2, 100),
        lambda snapshot: list_messages(snapshot, MessageQuery(MessageFilter(), 100, after=Position(MIDDLE, "m"))),
        lambda snapshot: find_message(snapshot, "m"),
    ],
    ids=[
        "stats",
        "timeline",
        "all",
        "sender",
        "range",
        "source",
        "source in range",
        "sender in range",
        "recipient",
        "of one",
        "feed",
        "export",
        "one",
    ],
)
def test_no_read_goes_through_the_table(read: Read, filled: Database) -> None:
    for plan in plans(filled, read):
        assert not goes_through_the_table(plan), plan
        assert not sorts(plan) or "hour_counts" in plan, plan


def test_the_newest_message_of_each_source_is_looked_for_among_the_latest_alone(filled: Database) -> None:
    (plan,) = plans(filled, lambda snapshot: newest_by_source(snapshot, MESSAGES - 500, MESSAGES))

    assert not goes_through_the_table(plan), plan
    assert "ix_messages_source" not in plan
