"""A row that the database refuses: only its own delivery fails, and is kept."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

from tests.support.app import application, deliver
from tests.support.deliveries import payload
from tests.support.messages import message
from tests.support.postgresql import administration
from tests.support.stored import opened, stored_ids, stored_ids_and_receipt_ids
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.deliveries import Contents
from webhook_service.domain.errors import RowRefused
from webhook_service.domain.messages import Message
from webhook_service.domain.receipts import Receipt
from webhook_service.domain.results import Outcome
from webhook_service.intake.commit import DeliveryRows, commit
from webhook_service.storage.queries.messages import MESSAGES_IN_A_STATEMENT

REFUSED = "refused"


def refuse(url: str) -> None:
    """Makes the database refuse the message with the ID REFUSED."""
    parsed = parse_url(url)
    if parsed.drivername != "sqlite":
        with administration(url) as connection:
            connection.execute(f"ALTER TABLE messages ADD CHECK (message_id <> '{REFUSED}')".encode())
        return
    assert parsed.database is not None
    with closing(sqlite3.connect(parsed.database)) as file:
        file.execute(f"""
            CREATE TRIGGER refuse BEFORE INSERT ON messages WHEN NEW.message_id = '{REFUSED}'
            BEGIN SELECT RAISE(ABORT, 'refused'); END
        """)


def commit_round(url: str, deliveries: list[tuple[Message | Receipt, ...]]) -> list[object]:
    """Commits these deliveries as one round; returns the result of each."""
    with opened(url) as database:
        committed = commit(database, [DeliveryRows.encode(contents(items)) for items in deliveries])
    return [REFUSED if isinstance(became, RowRefused) else became.all() for became in committed]


def contents(items: tuple[Message | Receipt, ...]) -> Contents:
    messages = tuple(item for item in items if isinstance(item, Message))
    return Contents(messages, tuple(item for item in items if isinstance(item, Receipt)))


def receipt(message_id: str, error: str | None = None) -> Receipt:
    now = datetime.now(UTC)
    return Receipt(message_id, "whatsapp", "sent", "+1", now, now, error=error)


def test_a_refused_message_takes_no_neighbour_along(database_url: str) -> None:
    refuse(database_url)

    became = commit_round(
        database_url,
        [(message("a"), message("b")), (message("c"), message(REFUSED)), (message("d"),)],
    )

    created = Outcome.CREATED
    assert became == [(created, created), REFUSED, (created,)]
    assert sorted(stored_ids(database_url)) == ["a", "b", "d"]


def test_a_message_too_long_for_its_column_takes_no_neighbour_along(postgresql_url: str) -> None:
    became = commit_round(postgresql_url, [(message("a"),), (message("x" * 256),), (message("b"),)])

    assert became == [(Outcome.CREATED,), REFUSED, (Outcome.CREATED,)]
    assert sorted(stored_ids(postgresql_url)) == ["a", "b"]


def test_a_text_that_no_database_can_encode_takes_no_neighbour_along(database_url: str) -> None:
    became = commit_round(database_url, [(message("a"),), (message("b", text="\ud800"),), (message("c"),)])

    assert became == [(Outcome.CREATED,), REFUSED, (Outcome.CREATED,)]
    assert sorted(stored_ids(database_url)) == ["a", "c"]


def test_a_refused_receipt_takes_no_neighbour_along(database_url: str) -> None:
    became = commit_round(
        database_url,
        [(message("a"), receipt("r")), (message("b"), receipt("s", error="\ud800")), (message("c"), receipt("t"))],
    )

    both = (Outcome.CREATED, Outcome.CREATED)
    assert became == [both, REFUSED, both]
    assert [sorted(ids) for ids in stored_ids_and_receipt_ids(database_url)] == [["a", "c"], ["r", "t"]]


def test_more_messages_than_a_statement_takes_are_stored_all_or_none(database_url: str) -> None:
    refuse(database_url)
    many = tuple(message(f"{number}") for number in range(MESSAGES_IN_A_STATEMENT))

    became = commit_round(database_url, [(*many, message(REFUSED)), (message("a"),)])

    assert became == [REFUSED, (Outcome.CREATED,)]
    assert sorted(stored_ids(database_url)) == ["a"]


def test_a_refused_delivery_is_answered_422_and_kept_in_quarantine(database_url: str) -> None:
    refuse(database_url)

    with application(database_url) as client:
        refused = deliver(client, payload(message_id=REFUSED))
        neighbour = deliver(client, payload(message_id="a"))
        kept = client.get("/quarantine").get_json()["data"]

    assert (refused.status_code, neighbour.status_code) == (422, 200)
    assert [entry["reason"] for entry in kept] == ["refused_by_database"]
    assert stored_ids(database_url) == ["a"]
