"""Deleting: what is old, and all of one person, while deliveries go on."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import insert, select

from tests.support.commands import call_cli
from tests.support.consumers import Desk
from tests.support.forked import run_cli
from tests.support.forwarding_destinations import destination, forwarding
from tests.support.messages import message
from tests.support.processes import environment
from tests.support.pushes import count, place, refuse
from tests.support.receivers import Receiver
from tests.support.stored import accept
from tests.support.waiting import wait_until
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.activity import Activity, DeliveryOutcome
from webhook_service.domain.deliveries import Contents
from webhook_service.domain.destinations import Retries
from webhook_service.domain.messages import Message, MessageFilter, MessageQuery
from webhook_service.domain.quarantine import Quarantined
from webhook_service.domain.receipts import Receipt
from webhook_service.storage.database import Database
from webhook_service.storage.destination_models import RetryRow
from webhook_service.storage.models import QuarantineRow, ReceiptRow
from webhook_service.storage.queries.activity import add_activity
from webhook_service.storage.queries.counts import count_differences
from webhook_service.storage.queries.deletion import LARGEST_BATCH, LONGEST_HOLD, TABLES, in_batches, next_size
from webhook_service.storage.queries.messages import encode_message, insert_messages
from webhook_service.storage.queries.pages import count_messages, list_messages
from webhook_service.storage.queries.quarantine import add_quarantined
from webhook_service.storage.writing import Transaction

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
UNREAD = 10_000  # messages
LATER = Retries(first=3600, longest=3600)


def store(database: Database, *messages: Message) -> None:
    with database.transaction() as transaction:
        insert_messages(transaction, [encode_message(each) for each in messages])


def ids(database: Database, **wanted: str) -> list[str]:
    with database.snapshot() as snapshot:
        found = list_messages(snapshot, MessageQuery(MessageFilter(**wanted), limit=10_000))  # type: ignore[arg-type]  # the tests' filters are texts
        assert count_messages(snapshot, MessageFilter(**wanted)) == len(found)  # type: ignore[arg-type]  # likewise
        assert not any(count_differences(snapshot).values())
    return [each.message_id for each in found]


def receipt(**fields: Any) -> Receipt:
    shared = {"message_id": "out", "provider": "whatsapp", "status": "sent", "recipient": "+1"}
    return Receipt(**{**shared, "ts": NOW, "received_at": NOW, **fields})


def quarantined(raw: bytes, received_at: datetime) -> Quarantined:
    return Quarantined("whatsapp", raw, {}, "/webhook/whatsapp", "not_json", {}, received_at)


def left_in_quarantine(database: Database) -> list[bytes]:
    with database.snapshot() as snapshot:
        return list(snapshot.scalars(select(QuarantineRow.raw).order_by(QuarantineRow.id)))


def said(what: str, *, messages: int = 0, receipts: int = 0, quarantined: int = 0, hours: int | None = None) -> str:
    """What the commands print in the end; only pruning has a word on ``hours`` of activity."""
    numbers = {"messages": messages, "receipts": receipts, "quarantined deliveries": quarantined}
    told = numbers if hours is None else {**numbers, "hours of activity": hours}
    return "".join(f"{number:,} {name} {what}\n" for name, number in told.items())


def store_a_year(database: Database, number: int = 2_500) -> Sequence[str]:
    store(database, *(message(f"{at:05}", ts=NOW - DAY * 365 * at / number, text=f"text {at}") for at in range(number)))
    return [f"{at:05}" for at in range(number)]


def test_pruning_deletes_what_is_older_and_nothing_else(database: Database, database_url: str) -> None:
    stored = store_a_year(database)
    older = [message_id for message_id in stored if int(message_id) * 365 / 2_500 > 90]

    pruned = run_cli("prune", "--older-than", "90d", environ=environment(database_url))

    assert (pruned.returncode, pruned.stdout) == (0, said("deleted", messages=len(older), hours=0))
    assert sorted(ids(database)) == stored[: -len(older)]
    assert ids(database, q="text 2000") == []
    assert ids(database, q="TEXT 55") == ["00559", *(f"0055{at}" for at in range(8, -1, -1)), "00055"]


def test_a_dry_run_deletes_nothing(database: Database, database_url: str) -> None:
    store(database, message("old", ts=NOW - DAY * 8), message("new", ts=NOW - DAY * 6, sender="+1"))

    week = call_cli("prune", "--older-than", "1w", "--dry-run", environ=environment(database_url))
    person = call_cli("erase", "--number", "+1", "--dry-run", environ=environment(database_url))

    assert week.stdout == said("would be deleted", messages=1, hours=0)
    assert person.stdout == said("would be deleted", messages=1)
    assert ids(database) == ["old", "new"]


@pytest.mark.parametrize("age", ["", "90", "d", "-1d", "1.5d", "90 d", "1y", "٣d"])
def test_an_age_that_is_none_is_refused(age: str, sqlite_url: str) -> None:
    refused = call_cli("prune", f"--older-than={age}", environ=environment(sqlite_url))

    assert refused.returncode == 2
    assert "90d" in refused.stderr


def test_deliveries_go_on_while_much_is_deleted(database: Database) -> None:
    store_a_year(database)

    def deliver(turn: int) -> None:
        for at in range(30):
            store(database, message(f"new-{turn}-{at}", ts=NOW))

    with ThreadPoolExecutor(3) as threads:
        delivering = threads.map(deliver, range(2))
        batches = list(in_batches(database, TABLES["messages"].older_than(NOW - DAY)[0].delete))
        list(delivering)

    assert len(batches) > 2
    left = ids(database)
    assert len([message_id for message_id in left if message_id.startswith("new")]) == 60
    assert sum(batches) == 2_500 + 60 - len(left)


@pytest.mark.parametrize("days", [100, 300], ids=["unread is newer", "unread is older"])
def test_while_it_holds_the_turn_pruning_does_not_look_at_what_stays(
    days: int, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine would have it delete less at a time, which takes more steps.
    monkeypatch.setattr("webhook_service.storage.queries.deletion.LONGEST_HOLD", 60.0)
    database = Database(parse_url(sqlite_url), pool_size=1)
    store(database, *(message(ts=NOW - DAY * 200) for _ in range(100)))
    store(database, *(message(ts=NOW - DAY * days) for _ in range(UNREAD)))
    (old,) = TABLES["messages"].older_than(NOW, 100)
    with database.snapshot() as snapshot:
        number = old.count_and_find_oldest(snapshot)
    steps = []

    def delete_and_count_steps(transaction: Transaction, limit: int) -> int:
        driver = transaction.connection.driver_connection
        assert driver is not None
        driver.set_progress_handler(lambda: steps.append(1), 1)
        deleted = old.delete(transaction, limit)
        driver.set_progress_handler(None, 0)
        return deleted

    batches = list(in_batches(database, delete_and_count_steps, number))
    database.close()

    assert (number, sum(batches)) == (100, 100)
    assert len(steps) < 3 * UNREAD  # what it takes to delete 100; to pass over a message takes 4 each time


def test_a_batch_is_as_large_as_the_turn_allows() -> None:
    assert next_size(100, LONGEST_HOLD) == 100
    assert next_size(100, LONGEST_HOLD * 4) == 25
    assert next_size(100, LONGEST_HOLD / 1.5) == 150
    assert next_size(100, 0.0) == 200
    assert next_size(LARGEST_BATCH, 0.0) == LARGEST_BATCH
    assert next_size(1, 10.0) == 1


def test_between_two_batches_others_have_as_long_as_it_held_the_turn(database: Database) -> None:
    held: list[tuple[float, float]] = []

    def work(_transaction: Transaction, size: int) -> int:
        began = time.monotonic()
        Event().wait(LONGEST_HOLD)
        held.append((began, time.monotonic()))
        return size if len(held) < 4 else 0

    list(in_batches(database, work))

    assert min(later[0] - earlier[1] for earlier, later in pairwise(held)) >= LONGEST_HOLD


def test_old_receipts_and_quarantined_deliveries_go_as_well(database: Database, database_url: str) -> None:
    for days in (8, 6):
        accept(
            database,
            Contents(receipts=(receipt(ts=NOW - DAY * days, status=f"of {days}"),)),
            quarantined=quarantined(b"%d" % days, NOW - DAY * days),
        )
        with database.transaction() as transaction:
            add_activity(transaction, [Activity("native", DeliveryOutcome.CREATED, NOW - DAY * days, 1, NOW)])

    pruned = call_cli("prune", "--older-than", "1w", environ=environment(database_url))

    assert pruned.stdout == said("deleted", receipts=1, quarantined=1, hours=1)
    assert left_in_quarantine(database) == [b"6"]


def test_nothing_of_an_erased_person_is_left(database: Database, database_url: str) -> None:
    accept(database, Contents(receipts=(receipt(recipient="+4915100"), receipt(recipient="+1"))))
    for raw in (b"of +4915100", b"From=whatsapp%3A%2B4915100&", b"of +49151001", b"of nobody"):
        accept(database, Contents(), quarantined=quarantined(raw, NOW))
    store(
        database,
        message("sent", sender="+4915100", recipient="+1"),
        message("got", sender="+1", recipient="+4915100"),
        message("longer", sender="+49151001", recipient="+1"),
        message("other", sender="+1", recipient="+2"),
    )

    erased = call_cli("erase", "--number", "+4915100", environ=environment(database_url))

    assert (erased.returncode, erased.stdout) == (0, said("deleted", messages=2, receipts=1, quarantined=2))
    assert sorted(ids(database)) == ["longer", "other"]
    assert left_in_quarantine(database) == [b"of +49151001", b"of nobody"]
    assert ids(database, sender="+4915100") == ids(database, recipient="+4915100") == []


def test_a_person_is_erased_from_any_number_of_quarantined_deliveries(database: Database, database_url: str) -> None:
    columns = {"source": "whatsapp", "headers": {}, "target": "/", "reason": "not_json", "problems": {}, "count": 1}
    rows = [{"raw": b"+4915100 %d" % at, "body_sha256": f"{at}", **columns} for at in range(LARGEST_BATCH + 1)]
    with database.transaction() as transaction:
        transaction.execute(insert(QuarantineRow).values(first_at=NOW, last_at=NOW), rows)
        add_quarantined(transaction, quarantined(b"of nobody", NOW))

    erased = call_cli("erase", "--number", "+4915100", environ=environment(database_url))

    assert erased.stdout.splitlines()[-1] == "2,001 quarantined deliveries deleted"
    assert left_in_quarantine(database) == [b"of nobody"]


def test_a_person_is_erased_from_any_number_of_receipts(database: Database, database_url: str) -> None:
    of_person = [receipt(message_id=f"{at}", recipient="+4915100") for at in range(LARGEST_BATCH + 1)]
    accept(database, Contents(receipts=(*of_person, receipt())))

    erased = call_cli("erase", "--number", "+4915100", environ=environment(database_url))

    assert "2,001 receipts deleted" in erased.stdout
    with database.snapshot() as snapshot:
        assert snapshot.scalars(select(ReceiptRow.recipient)).all() == ["+1"]


def test_an_erased_text_is_gone_from_the_file(sqlite_url: str) -> None:
    database = Database(parse_url(sqlite_url), pool_size=1)
    store(database, *(message(sender="+4915100", text="a very private text") for _ in range(50)), message(sender="+1"))
    accept(database, Contents(receipts=(receipt(recipient="+4915100"),)))

    call_cli("erase", "--number", "+4915100", environ=environment(sqlite_url))
    database.close()

    file = Path(parse_url(sqlite_url).database or "")
    kept = b"".join(path.read_bytes() for path in file.parent.glob("app.db*"))
    assert b"private" not in kept
    assert b"+4915100" not in kept


def test_prune_leaves_what_a_consumer_has_not_had_unless_it_is_told(database_url: str, database: Database) -> None:
    old = NOW - 100 * DAY
    store(database, *(message(f"m{number}", ts=old) for number in range(4)))
    desk = Desk(database)
    desk.make()
    desk.ack(desk.must_lease(limit=3), dead={"m1": "?"})

    left = call_cli("prune", "--older-than", "90d", environ=environment(database_url))

    assert ids(database) == ["m3"]
    assert "1 older messages stay, as consumer crm has not had them: --even-unread" in left.stderr
    assert desk.dead() == {}
    call_cli("prune", "--older-than", "90d", "--even-unread", environ=environment(database_url))
    assert ids(database) == []


def test_prune_leaves_what_waits_for_another_attempt_at_a_destination(database_url: str, database: Database) -> None:
    old = NOW - 100 * DAY
    store(database, *(message(f"m{number}", ts=old, sender=f"+{number}") for number in range(4)))
    with Receiver(refuse("m2")) as receiver, forwarding(database, destination(receiver, retries=LATER)):
        wait_until(lambda: place(database) == 4 and count(database, RetryRow) == 1, "the failure")

    left = call_cli("prune", "--older-than", "90d", environ=environment(database_url))

    assert ids(database) == ["m2", "m3"]
    assert "2 older messages stay, as destination shop has not had them: --even-unread" in left.stderr
