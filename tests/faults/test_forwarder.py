"""Forwarders, servers and databases that are killed while messages are pushed: none is lost, and the order stays."""

import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.cycles import CYCLES_OF_A_PART
from tests.support.forwarder import ForwarderProcess
from tests.support.load import Load
from tests.support.postgresql import PostgresqlServer
from tests.support.pushes import store_of
from tests.support.receivers import Received, Receiver, accept, answer
from tests.support.server import Server
from tests.support.stored import opened, stored_ids
from tests.support.waiting import wait_until
from webhook_service.configuration.database_url import parse_url
from webhook_service.outlet.push_threads import AT_RISK_LEAST
from webhook_service.storage.migrate import migrate

KILLS = max(2, CYCLES_OF_A_PART // 2)  # each waits for a lease to end
REPEATED = AT_RISK_LEAST  # messages that a forwarder which is killed may have pushed, or be pushing, for nothing
BACKLOG, SENDERS = 3_000, 300
PAUSE = 0.1  # seconds: all messages have the same sender, so they are pushed one after another


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def fail_now_and_then(received: Received, connection: socket.socket) -> None:
    (answer(500) if random.random() < 0.05 else accept)(received, connection)


def assert_each_came_in_order(receiver: Receiver, url: str, *, again_at_most: int | None) -> None:
    """Checks the ledger: every message of the one sender came, for the first time in the order of storing."""
    stored = stored_ids(url)
    wait_until(lambda: set(stored) <= set(receiver.ids()), "every message to come")
    came = receiver.ids()
    assert list(dict.fromkeys(came)) == stored
    if again_at_most is not None:
        assert len(came) - len(stored) <= again_at_most


@pytest.mark.parametrize("faulty_url", ["sqlite", "postgresql"], indirect=True)
def test_killed_forwarders_lose_nothing_and_keep_the_order(faulty_url: str, receiver: Receiver, tmp_path: Path) -> None:
    with Server(faulty_url) as server, ExitStack() as stack:
        forwarders = [stack.enter_context(ForwarderProcess(faulty_url, tmp_path, receiver.url)) for _ in range(2)]
        with Load(server, pause=PAUSE) as load:
            wait_until(lambda: bool(receiver.received), "the first push")
            for _ in range(KILLS):
                before = len(receiver.received)
                load.wait_for(10, 200)
                victim = random.choice(forwarders)
                time.sleep(random.uniform(0, 0.2))
                victim.kill()
                victim.start()
                wait_until(lambda: len(receiver.received) > before, "a push")  # noqa: B023  # at once
        assert_each_came_in_order(receiver, faulty_url, again_at_most=KILLS * REPEATED)
        for forwarder in forwarders:
            forwarder.wait_until_ready()
        assert [forwarder.stop() for forwarder in forwarders] == [0, 0]
    assert "Traceback" not in "".join(forwarder.log() for forwarder in forwarders)


@pytest.mark.parametrize("faulty_url", ["sqlite", "postgresql"], indirect=True)
def test_a_forwarder_killed_at_full_speed_repeats_no_more_than_it_pushes_at_once(
    faulty_url: str, receiver: Receiver, tmp_path: Path
) -> None:
    def take_a_few_slowly(received: Received, connection: socket.socket) -> None:
        if int(received.headers["webhook-id"][1:]) % 100 == 0:
            time.sleep(0.5)  # so that many behind it are done long before it is
        accept(received, connection)

    receiver.answer = take_a_few_slowly
    with opened(faulty_url) as database:
        for sender in range(SENDERS):
            store_of(database, f"+49{sender}", *(f"m{number}" for number in range(sender, BACKLOG, SENDERS)))
    with ForwarderProcess(faulty_url, tmp_path, receiver.url) as forwarder:
        for _ in range(KILLS):
            before = len(receiver.received)
            wait_until(lambda: len(receiver.received) > before + random.randint(100, 300), "pushes")  # noqa: B023  # at once
            forwarder.kill()
            forwarder.start()
        wait_until(lambda: len(set(receiver.ids())) == BACKLOG, "every message to come")

    assert len(receiver.received) - BACKLOG <= KILLS * REPEATED


def test_a_receiver_that_fails_now_and_then_and_forwarders_that_are_killed(
    sqlite_url: str, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answer = fail_now_and_then
    with Server(sqlite_url) as server, ForwarderProcess(sqlite_url, tmp_path, receiver.url) as forwarder:
        with Load(server, pause=PAUSE) as load:
            for _ in range(2):
                load.wait_for(20, 200)
                time.sleep(random.uniform(0, 0.2))
                forwarder.kill()
                server.kill()
                server.start()
                forwarder.start()
                server.wait_until_it_answers()
        assert_each_came_in_order(receiver, sqlite_url, again_at_most=None)


def test_a_database_that_is_killed_while_messages_are_pushed(
    own_postgresql: PostgresqlServer, receiver: Receiver, tmp_path: Path
) -> None:
    migrate(parse_url(own_postgresql.url))
    with (
        Server(own_postgresql.url) as server,
        ForwarderProcess(own_postgresql.url, tmp_path, receiver.url) as forwarder,
    ):
        with Load(server, pause=PAUSE) as load:
            wait_until(lambda: bool(receiver.received), "the first push")
            for _ in range(2):
                load.wait_for(20, 200)
                own_postgresql.stop("immediate")
                time.sleep(random.uniform(0, 0.5))
                own_postgresql.start()
                load.wait_for(20, 200)
        assert_each_came_in_order(receiver, own_postgresql.url, again_at_most=2 * REPEATED)
        assert forwarder.process.poll() is None
        assert forwarder.stop() == 0
    assert "pushes go on once the database is back" in forwarder.log()
