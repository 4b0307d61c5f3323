"""Whatever holds the database: 503 within 5 seconds, and on with the work once it lets go."""

import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest

from tests.faults.holding import held_turn
from tests.support.deliveries import payload
from tests.support.load import Load
from tests.support.postgresql import administration
from tests.support.server import Server
from tests.support.stored import stored_ids
from webhook_service.configuration.database_url import parse_url

PROMISE = 5.0  # seconds until a delivery that can't be stored is told so


@contextmanager
def another_writer(url: str) -> Iterator[sqlite3.Connection]:
    """A program that writes to the SQLite file without queueing for its turn, as the sqlite3 shell does."""
    path = parse_url(url).database
    assert path is not None
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def test_another_program_that_writes_for_long_makes_no_delivery_wait_over_5_seconds(sqlite_url: str) -> None:
    with Server(sqlite_url) as server, Load(server) as load:
        load.wait_for_every_sender(200)
        with another_writer(sqlite_url):
            load.wait_for_every_sender(503, times=3)
            read = server.get("/stats").status
        load.wait_for_every_sender(200)

    assert load.slowest() < PROMISE
    assert load.statuses() == {200, 503}
    assert read == 200
    assert sorted(stored_ids(sqlite_url)) == sorted(load.acknowledged())


def test_another_program_that_writes_for_a_moment_is_waited_for(sqlite_url: str) -> None:
    with Server(sqlite_url) as server, ThreadPoolExecutor(1) as threads:
        with another_writer(sqlite_url):
            answer = threads.submit(server.deliver, payload())
            with pytest.raises(TimeoutError):
                answer.result(timeout=0.5)

        assert answer.result().status == 200


def test_a_stuck_writer_on_postgresql_makes_no_delivery_wait_over_5_seconds(postgresql_url: str) -> None:
    with Server(postgresql_url) as server, Load(server) as load:
        with held_turn(postgresql_url, "stuck") as holder:
            holder.send_signal(signal.SIGSTOP)
            load.wait_for_every_sender(503, times=3)
        load.wait_for_every_sender(200)

    assert load.slowest() < PROMISE
    assert load.statuses() == {200, 503}
    assert sorted(stored_ids(postgresql_url)) == sorted(load.acknowledged())


def test_a_stuck_writer_on_sqlite_makes_no_delivery_wait_over_5_seconds(sqlite_url: str) -> None:
    with Server(sqlite_url) as server, Load(server) as load:
        load.wait_for_every_sender(200)
        with held_turn(sqlite_url, "stuck") as holder:
            holder.send_signal(signal.SIGSTOP)
            load.wait_for_every_sender(503, times=3)
            read = server.get("/stats").status
        load.wait_for_every_sender(200)

    assert load.slowest() < PROMISE
    assert load.statuses() == {200, 503}
    assert read == 200
    assert sorted(stored_ids(sqlite_url)) == sorted(load.acknowledged())


def test_a_stuck_writer_on_sqlite_keeps_no_thread_of_a_consumer(sqlite_url: str) -> None:
    with Server(sqlite_url, WEB_CONCURRENCY="1", GUNICORN_THREADS="2") as server:
        assert server.request("PUT", "/consumers/crm", b"{}").status == 201
        assert server.deliver(payload()).status == 200
        with held_turn(sqlite_url, "stuck"), ThreadPoolExecutor(4) as threads:
            leases = [threads.submit(server.post, "/consumers/crm/lease") for _ in range(4)]
            answers = [lease.result() for lease in leases]
            read = server.get("/stats").status

        assert {answer.status for answer in answers} == {503}
        assert read == 200
        assert server.post("/consumers/crm/lease").status == 200


def test_a_locked_table_makes_no_delivery_wait_over_5_seconds(postgresql_url: str) -> None:
    with Server(postgresql_url) as server, Load(server) as load:
        load.wait_for_every_sender(200)
        with administration(postgresql_url) as connection, connection.transaction():
            connection.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
            load.wait_for_every_sender(503, times=3)  # about 10 seconds
        load.wait_for_every_sender(200)

    assert load.slowest() < PROMISE
    assert load.statuses() == {200, 503}
    assert sorted(stored_ids(postgresql_url)) == sorted(load.acknowledged())
