"""The console script against a real server and real databases."""

import re
from uuid import uuid4

import pytest

from tests.support.commands import call_cli
from tests.support.deliveries import SECRET
from tests.support.processes import environment
from tests.support.server import Server
from webhook_service.configuration.database_url import parse_url
from webhook_service.storage.database import Database


def test_migrate_makes_a_database_ready(empty_database_url: str) -> None:
    finished = call_cli("migrate", environ=environment(empty_database_url))

    assert (finished.returncode, finished.stderr) == (0, "")
    database = Database(parse_url(empty_database_url), pool_size=1)
    assert database.problems() == []
    database.close()


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("postgresql://nobody:h1dden@127.0.0.1:1/none", "the database is not available"),
        ("sqlite:////proc/none/app.db", "the database is not available"),
        ("mysql://nobody:h1dden@host/none", "DATABASE_URL"),
    ],
)
def test_migrate_fails_in_plain_words(url: str, complaint: str) -> None:
    finished = call_cli("migrate", environ=environment(url))

    assert finished.returncode == 1
    assert complaint in finished.stderr
    assert "h1dden" not in finished.stderr


def test_send_delivers_one_message_and_shows_the_answer(server: Server) -> None:
    message_id = f"m-{uuid4()}"

    finished = call_cli("send", "--message-id", message_id, "--text", "Grüße", environ=server.environ)

    assert (finished.returncode, finished.stdout) == (0, '200 {"status":"ok"}\n')
    assert server.get(f"/messages/{message_id}").json()["text"] == "Grüße"


def test_send_delivers_many_and_sums_up(server: Server) -> None:
    sender = f"+{uuid4().int % 10**15:015}"

    load = ("--count", "50", "--concurrency", "5", "--from", sender, "--url", f"{server.url}/")

    finished = call_cli("send", *load, environ=server.environ)

    assert finished.returncode == 0
    statuses, summary = finished.stdout.splitlines()
    assert statuses == "200: 50"
    assert re.fullmatch(r"[\d,]+ a second, p50 [\d.]+ ms, p99 [\d.]+ ms", summary)
    assert server.get(f"/messages?from={sender}").json()["total"] == 50


def test_send_fails_when_a_delivery_is_refused(server: Server) -> None:
    finished = call_cli("send", environ={**server.environ, "WEBHOOK_SECRET": "another"})

    assert (finished.returncode, finished.stdout) == (1, '401 {"detail":"invalid signature"}\n')


def test_send_fails_when_nobody_answers() -> None:
    finished = call_cli("send", "--count", "3", "--url", "http://127.0.0.1:1", environ=environment(""))

    assert finished.returncode == 1
    assert "no answer: 3" in finished.stdout


def test_send_needs_the_secret() -> None:
    finished = call_cli("send", environ=environment("", WEBHOOK_SECRET=""))

    assert finished.returncode == 1
    assert "WEBHOOK_SECRET: not set" in finished.stderr
    assert SECRET not in finished.stderr


def test_send_names_one_message_only_once() -> None:
    finished = call_cli("send", "--message-id", "a", "--count", "2", environ=environment(""))

    assert finished.returncode == 2
    assert "--message-id" in finished.stderr
