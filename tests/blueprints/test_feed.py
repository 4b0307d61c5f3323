"""The feed: every message once, in stored order, whoever writes meanwhile."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from tests.support.deliveries import payload
from tests.support.messages import MOMENT, message
from tests.support.processes import ROOT
from tests.support.server import Server
from tests.support.stored import accept, opened
from tests.support.waiting import wait_until
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.deliveries import Contents
from webhook_service.domain.messages import Message
from webhook_service.storage.database import Database
from webhook_service.storage.queries.messages import encode_message, insert_messages, read_feed

DOCUMENT = (ROOT / "docs" / "feed.md").read_text()


def store(database: Database, *messages: Message) -> None:
    with database.transaction() as transaction:
        insert_messages(transaction, [encode_message(each) for each in messages])


def ask(client: FlaskClient, **parameters: Any) -> Any:
    answer = client.get(f"/feed?{urlencode(parameters)}")
    assert answer.status_code == 200
    return answer.get_json()


def ids(page: Any) -> list[str]:
    return [each["message_id"] for each in page["data"]]


def test_the_feed_is_in_stored_order(client: FlaskClient, database: Database) -> None:
    store(database, message("c"), message("a"))
    store(database, message("b", ts=MOMENT.replace(year=1999)), message("a"))

    assert ids(ask(client)) == ["c", "a", "b"]


@pytest.mark.parametrize(("stored", "rests"), [(2, False), (1, True)], ids=["who is behind", "who keeps up"])
def test_who_keeps_up_and_waits_rests(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch, stored: int, rests: bool
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("webhook_service.outlet.waiting.time.sleep", slept.append)
    store(database, *(message(f"early-{at}") for at in range(stored)))

    first = ask(client, limit=1, wait=5)
    store(database, message("late"))
    second = ask(client, limit=1, wait=5, after=first["next"])

    assert ids(first) + ids(second) == ["early-0", "late" if stored == 1 else "early-1"]
    assert bool(slept) == rests


def test_the_feed_goes_on_where_it_stopped(client: FlaskClient, database: Database) -> None:
    store(database, *(message(str(at)) for at in range(5)))

    first = ask(client, limit=2)
    second = ask(client, limit=2, after=first["next"])
    third = ask(client, limit=2, after=second["next"])
    nothing = ask(client, after=third["next"])
    store(database, message("new"))
    new = ask(client, after=nothing["next"])

    assert [ids(page) for page in (first, second, third, nothing, new)] == [["0", "1"], ["2", "3"], ["4"], [], ["new"]]


def test_a_delivery_gets_its_place_only_when_it_has_the_turn_to_write(database_url: str, client: FlaskClient) -> None:
    with opened(database_url) as database, opened(database_url) as other, ThreadPoolExecutor(1) as threads:
        with other.transaction() as earlier:
            accepted = threads.submit(accept, database, Contents(messages=(message("later"),)))
            with pytest.raises(TimeoutError):
                accepted.result(timeout=0.3)
            insert_messages(earlier, [encode_message(message("earlier"))])
        accepted.result()

    assert ids(ask(client)) == ["earlier", "later"]


def test_an_empty_feed_has_a_place_too(client: FlaskClient, database: Database) -> None:
    empty = ask(client, after="")
    store(database, message("a"))

    assert empty["data"] == []
    assert ids(ask(client, after=empty["next"])) == ["a"]


def test_a_place_stays_good_when_what_is_around_it_is_deleted(client: FlaskClient, database: Database) -> None:
    store(database, *(message(str(at)) for at in range(4)))
    place = ask(client, limit=2)["next"]

    with database.transaction() as transaction:
        transaction.execute(text("DELETE FROM messages"))
    store(database, message("new"))

    assert ids(ask(client, after=place)) == ["new"]


@pytest.mark.parametrize(
    "sent",
    [
        message(
            text='Grüße 😀\r\n\t\\ "', type="image", provider="whatsapp", extra={"ä": [1, 2.5, None, {"b": "\u0000"}]}
        ),
        message(text=None, extra={}),
        message(ts=MOMENT.replace(microsecond=120_000), received_at=MOMENT.replace(year=1, microsecond=1)),
        message(ts=MOMENT.replace(year=9999, microsecond=999_999)),
    ],
    ids=["extra", "no text", "fractions", "late"],
)
def test_a_message_looks_the_same_in_the_feed(sent: Message, client: FlaskClient, database: Database) -> None:
    store(database, sent)

    shown = client.get(f"/messages/{sent.message_id}").get_json()
    del shown["duplicates"], shown["receipts"]
    assert ask(client)["data"] == [shown]


def test_an_answer_holds_100_messages_unless_it_is_asked_for_up_to_1000(
    client: FlaskClient, database: Database
) -> None:
    store(database, *(message() for _ in range(1100)))

    assert [len(ask(client, **limit)["data"]) for limit in ({}, {"limit": 1}, {"limit": 1000})] == [100, 1, 1000]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("after=1", "after"),
        ("after=WzFd", "after"),
    ],
)
def test_a_place_that_was_made_up_is_refused(query: str, field: str, sqlite_client: FlaskClient) -> None:
    answer = sqlite_client.get(f"/feed?{query}")

    assert answer.status_code == 422
    assert list(answer.get_json()["errors"]) == [field]


def test_a_cursor_of_the_messages_is_no_place_in_the_feed(client: FlaskClient, database: Database) -> None:
    store(database, message(), message())
    cursor = client.get("/messages?limit=1").get_json()["next_cursor"]

    assert client.get(f"/feed?after={cursor}").status_code == 422


def test_nodes_that_write_at_once_never_put_a_message_behind_the_reader(database_url: str) -> None:
    nodes, each = 4, 60
    url, done = parse_url(database_url), Event()

    def write(node: int) -> None:
        own = Database(url, pool_size=1)
        for at in range(each):
            with own.transaction() as transaction:
                for part in range(3):
                    insert_messages(transaction, [encode_message(message(f"{node}-{at}-{part}"))])
        own.close()

    def read() -> list[str]:
        own, seen, last = Database(url, pool_size=1), list[str](), 0
        finished = False
        while not finished:
            finished = done.is_set()
            with own.snapshot() as snapshot:
                page = read_feed(snapshot, last, 1000)
            seen += [stored.message_id for stored in page]
            last = page[-1].id if page else last
        own.close()
        return seen

    with ThreadPoolExecutor(nodes + 1) as threads:
        reader = threads.submit(read)
        list(threads.map(write, range(nodes)))
        done.set()
        seen = reader.result()

    assert sorted(seen) == sorted(
        f"{node}-{at}-{part}" for node in range(nodes) for at in range(each) for part in range(3)
    )


def code(language: str) -> str:
    (block,) = re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    assert isinstance(block, str)
    return block


def consumer(language: str, server: Server) -> Sequence[str]:
    source = code(language).replace("http://127.0.0.1:8000", server.url)
    return [sys.executable, "-c", source] if language == "python" else ["sh", "-c", source]


@contextmanager
def consuming(language: str, server: Server, folder: Path, token: str = "") -> Iterator[Path]:
    """The consumer of the documentation at work in a folder; gives the file of its output."""
    output = folder / "output"
    with (
        output.open("a") as stdout,
        (folder / "errors").open("a") as stderr,
        subprocess.Popen(
            consumer(language, server),
            cwd=folder,
            env={**os.environ, "API_TOKEN": token},
            stdout=stdout,
            stderr=stderr,
        ) as program,
    ):
        try:
            yield output
        finally:
            program.kill()


@pytest.mark.parametrize("language", ["python", "sh"])
def test_the_consumer_in_the_documentation_sees_each_message_once(
    language: str, sqlite_url: str, tmp_path: Path
) -> None:
    place = tmp_path / "place"

    def consume_all() -> None:
        end = server.get("/feed?limit=1000").json()["next"]
        with consuming(language, server, tmp_path):
            wait_until(lambda: place.exists() and end in place.read_text(), "the consumer to come to the end")

    stored = [f"feed-{at}-x" for at in range(25)]
    with Server(sqlite_url) as server:
        for part in (stored[:20], stored[20:]):
            for message_id in part:
                server.deliver(payload(message_id=message_id))
            consume_all()

    assert re.findall(r"feed-\d+-x", (tmp_path / "output").read_text()) == stored


@pytest.mark.parametrize("language", ["python", "sh"])
def test_the_consumer_in_the_documentation_waits_for_a_server_that_is_down(
    language: str, sqlite_url: str, tmp_path: Path
) -> None:
    server = Server(sqlite_url, API_TOKEN="t0ken")
    with consuming(language, server, tmp_path, token="t0ken") as output:
        wait_until(lambda: bool((tmp_path / "errors").read_text()), "the consumer to meet nobody")
        with server:
            server.deliver(payload(message_id="feed-1-x"))
            wait_until(lambda: "feed-1-x" in output.read_text(), "the consumer to go on")

    assert (tmp_path / "place").exists()


@pytest.mark.parametrize("language", ["python", "sh"])
def test_the_consumer_in_the_documentation_does_not_spin_when_it_is_refused(
    language: str, sqlite_url: str, tmp_path: Path
) -> None:
    def refused() -> list[datetime]:
        lines = (line for line in server.request_lines() if line["path"] == "/feed")
        return [datetime.fromisoformat(line["ts"]) for line in lines if line["status"] == 401]

    with Server(sqlite_url, API_TOKEN="t0ken") as server, consuming(language, server, tmp_path, token="wrong"):
        wait_until(lambda: len(refused()) >= 3, "the consumer to be refused again and again")
        first, second, third = refused()[:3]

    assert second - first >= timedelta(seconds=0.9)
    assert third - second >= timedelta(seconds=1.9)
    assert not (tmp_path / "place").exists()
