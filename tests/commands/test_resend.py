"""``webhook-service resend``: stored messages, given again."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.commands import call_cli
from tests.support.consumers import Desk, ids, store
from tests.support.forked import run_cli
from tests.support.forwarding_destinations import destination, forwarding
from tests.support.messages import message
from tests.support.processes import environment
from tests.support.receivers import Receiver
from tests.support.waiting import wait_until
from webhook_service.domain.deliveries import Contents
from webhook_service.intake.commit import DeliveryRows, commit
from webhook_service.storage.database import Database


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def test_a_consumer_gets_messages_again_that_pass_a_filter(database: Database, database_url: str) -> None:
    desk = Desk(database)
    desk.make()
    store(database, "m1", "m2", "m3")
    desk.ack(desk.must_lease())
    environ = environment(database_url)
    command = ("resend", "--consumer", desk.name, "--id", "m1", "--id", "m3")
    tried = call_cli(*command, "--dry-run", environ=environ)
    assert desk.lease() is None
    done = call_cli(*command, environ=environ)

    assert (tried.returncode, done.returncode) == (0, 0)
    assert tried.stdout == "2 messages would be given again\n"
    assert "2 messages are given again" in done.stderr
    again = []
    desk.clock.now = datetime.now(UTC) + timedelta(minutes=1)  # the command goes by the real clock
    while (lease := desk.lease()) is not None:
        again += ids(lease)
        desk.ack(lease)
    assert again == ["m1", "m3"]


@pytest.mark.parametrize("choice", [("--id", "test", "--id", "m1"), ("--since", "2000-01-01T00:00:00Z")])
def test_no_test_message_is_given_again(choice: tuple[str, ...], database: Database, database_url: str) -> None:
    commit(database, [DeliveryRows.encode(Contents(messages=(message("test"),)), is_test=True)])
    store(database, "m1")

    tried = call_cli("resend", "--consumer", "crm", *choice, "--dry-run", environ=environment(database_url))

    assert tried.stdout == "1 messages would be given again\n"


def test_a_destination_gets_them_pushed_again(database: Database, database_url: str, receiver: Receiver) -> None:
    store(database, "m1", "m2")
    with forwarding(database, destination(receiver)):
        wait_until(lambda: len(receiver.received) == 2, "the messages")
        done = run_cli("resend", "--destination", "shop", "--all", environ=environment(database_url))
        wait_until(lambda: len(receiver.received) == 4, "the messages again")

    assert done.returncode == 0
    assert sorted(receiver.ids()) == ["m1", "m1", "m2", "m2"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--all",), 2, "say either --consumer or --destination"),
        (("--consumer", "crm"), 2, "say which messages: by filters, by --id, or --all"),
        (("--consumer", "crm", "--since", "yesterday"), 2, "--since"),
        (("--consumer", "crm", "--id", "none"), 1, "there is no message 'none'"),
        (("--consumer", "none", "--all"), 1, "there is no consumer of this name"),
        (("--destination", "none", "--all"), 1, "there is no destination of this name"),
    ],
)
def test_what_can_not_be_done_is_said(sqlite_url: str, arguments: tuple[str, ...], status: int, said: str) -> None:
    ended = call_cli("resend", *arguments, environ=environment(sqlite_url))

    assert (ended.returncode, said in ended.stderr) == (status, True), ended.stderr
