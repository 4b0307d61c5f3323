"""A row that the database refuses: only its own delivery fails, and is kept."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

from tests.support.app import application, deliver
from tests.support.deliveries import payload
from tests.support.messages import message
from tests.support.postgresql import administration
from tests.support.stored import opened, stored_ids
from tests.support.waiting import wait_until
from webhook_service.domain import Contents, Message, Outcome, PayloadInvalid
from webhook_service.inbox import Inbox
from webhook_service.settings import parse_url
from webhook_service.storage.database import Database
from webhook_service.storage.messages import MESSAGES_IN_A_STATEMENT

REFUSED = "refused"
OPENER = "opener"


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


@contextmanager
def turn_held(database: Database) -> Iterator[None]:
    """Keeps the turn to write from everyone else, so that what is offered meanwhile becomes one batch."""
    with database.transaction():
        yield


def accept_in_one_batch(url: str, deliveries: list[tuple[Message, ...]]) -> list[object]:
    """What became of each of these deliveries, whose messages all went into the same transaction first.

    Another message opens the way: on PostgreSQL it is in its statement already while it waits for its turn.
    """
    offered = {messages[0].message_id for messages in deliveries}
    with opened(url) as database, opened(url) as other, ThreadPoolExecutor(len(deliveries) + 1) as threads:
        inbox = Inbox(database)

        def accept(messages: tuple[Message, ...]) -> object:
            try:
                return inbox.accept(Contents(messages=messages)).messages
            except PayloadInvalid as refused:
                return refused.reason.value

        def waiting() -> set[object]:
            return {entry.messages[0][0] for ticket in inbox._group._waiting for entry in ticket.items}

        with turn_held(other):
            threads.submit(accept, (message(OPENER),))
            wait_until(lambda: inbox._group._led, "one to lead")
            accepted = [threads.submit(accept, messages) for messages in deliveries]
            wait_until(lambda: offered <= waiting(), "all to wait")
        return [each.result() for each in accepted]


def test_a_refused_message_takes_no_neighbour_along(database_url: str) -> None:
    refuse(database_url)

    became = accept_in_one_batch(
        database_url,
        [(message("a"), message("b")), (message("c"), message(REFUSED)), (message("d"),)],
    )

    created = Outcome.CREATED
    assert became == [(created, created), "refused_by_database", (created,)]
    assert sorted(stored_ids(database_url)) == ["a", "b", "d", OPENER]


def test_a_message_too_long_for_its_column_takes_no_neighbour_along(postgresql_url: str) -> None:
    became = accept_in_one_batch(postgresql_url, [(message("a"),), (message("x" * 256),), (message("b"),)])

    assert became == [(Outcome.CREATED,), "refused_by_database", (Outcome.CREATED,)]
    assert sorted(stored_ids(postgresql_url)) == ["a", "b", OPENER]


def test_a_text_that_no_database_can_encode_takes_no_neighbour_along(database_url: str) -> None:
    became = accept_in_one_batch(database_url, [(message("a"),), (message("b", text="\ud800"),), (message("c"),)])

    assert became == [(Outcome.CREATED,), "refused_by_database", (Outcome.CREATED,)]
    assert sorted(stored_ids(database_url)) == ["a", "c", OPENER]


def test_more_messages_than_a_statement_takes_are_stored_all_or_none(database_url: str) -> None:
    refuse(database_url)
    many = tuple(message(f"{number}") for number in range(MESSAGES_IN_A_STATEMENT))

    became = accept_in_one_batch(database_url, [(*many, message(REFUSED)), (message("a"),)])

    assert became == ["refused_by_database", (Outcome.CREATED,)]
    assert sorted(stored_ids(database_url)) == ["a", OPENER]


def test_a_refused_delivery_is_answered_422_and_kept_in_quarantine(database_url: str) -> None:
    refuse(database_url)

    with application(database_url) as client:
        refused = deliver(client, payload(message_id=REFUSED))
        neighbour = deliver(client, payload(message_id="a"))
        kept = client.get("/quarantine").get_json()["data"]

    assert (refused.status_code, neighbour.status_code) == (422, 200)
    assert [entry["reason"] for entry in kept] == ["refused_by_database"]
    assert stored_ids(database_url) == ["a"]
