"""Answers that are held back: they come when there is something, and cost nothing meanwhile."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import pytest

from tests.support.app import application
from tests.support.consumers import store
from tests.support.deliveries import payload
from tests.support.postgresql import administration
from tests.support.server import Server
from tests.support.stored import opened
from tests.support.waiting import wait_until
from webhook_service.outlet.waiting import SHORTEST_REST
from webhook_service.storage.changes import CHANNEL

SOON = 2.0  # seconds: much less than the time that is asked for, and more than a busy machine takes


@pytest.fixture(scope="module")
def narrow(shared_database_url: str) -> Iterator[Server]:
    """A server of one worker with two threads."""
    with Server(shared_database_url, WEB_CONCURRENCY="1", GUNICORN_THREADS="2") as running:
        yield running


def find_end(server: Server) -> str:
    """The end of a server's feed."""
    place = ""
    while (page := server.get(f"/feed?limit=1000&after={place}").json())["data"]:
        place = page["next"]
    return str(page["next"])


@pytest.fixture
def end(narrow: Server) -> str:
    """The end of its feed."""
    return find_end(narrow)


def make_consumer(server: Server) -> str:
    """Makes a consumer that begins now and may have ten leases, and returns its path."""
    path = f"/consumers/c{uuid4().hex}"
    assert server.request("PUT", path, b'{"max_leases":10,"start":{"to":"now"}}').status == 201
    return path


@pytest.fixture
def crm(narrow: Server) -> str:
    """The path of a consumer of its own that begins now and may have ten leases."""
    return make_consumer(narrow)


def deliver(server: Server, **fields: str) -> str:
    """Delivers a message, and returns its ID."""
    message_id = f"w-{uuid4()}"
    assert server.deliver(payload(message_id=message_id, **fields)).status == 200
    return message_id


def ask(server: Server, target: str, method: str = "GET", more: str = "") -> socket.socket:
    """Sends a request, and leaves its answer to be read."""
    asking = server.connect()
    asking.sendall(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode())
    return asking


def answer(asking: socket.socket) -> tuple[int, Any]:
    """The status and the JSON of an answer."""
    with asking, asking.makefile("rb") as stream:
        status = int(stream.readline().split()[1])
        headers = dict(line.decode().strip().lower().split(": ", 1) for line in iter(stream.readline, b"\r\n"))
        body = stream.read(int(headers.get("content-length", 0)))
    return status, json.loads(body) if body else None


def ids(answered: tuple[int, Any]) -> list[str]:
    return [each["message_id"] for each in answered[1]["data"]]


def is_answered(asking: socket.socket) -> bool:
    asking.settimeout(0.2)
    try:
        asking.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return False
    finally:
        asking.settimeout(60)
    return True


def is_open(port: int) -> bool:
    """Tells whether the server has not closed its side of a connection from this port yet."""
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(socket[2] == f"0100007F:{port:04X}" and socket[3] in {"01", "08"} for socket in sockets)


def test_a_reader_that_waits_is_answered_when_a_message_comes(narrow: Server, end: str) -> None:
    asking = ask(narrow, f"/feed?wait=25&after={end}")
    assert not is_answered(asking)
    began = time.monotonic()

    sent = deliver(narrow)

    assert ids(answer(asking)) == [sent]
    assert time.monotonic() - began < SOON


def test_a_reader_hears_of_what_another_node_stores(shared_database_url: str, narrow: Server, end: str) -> None:
    asking = ask(narrow, f"/feed?wait=25&after={end}")
    assert not is_answered(asking)
    began = time.monotonic()

    with opened(shared_database_url) as database:
        store(database, "w-of-another-node")

    assert ids(answer(asking)) == ["w-of-another-node"]
    assert time.monotonic() - began < SOON


def test_a_worker_at_which_nobody_waits_any_more_leaves_no_announcement_unread(postgresql_url: str) -> None:
    # PostgreSQL waits for a listener that does not read, and whoever makes or drops a database waits for PostgreSQL.
    with Server(postgresql_url) as server, administration(postgresql_url) as connection:
        assert server.get(f"/feed?wait=1&after={find_end(server)}").json()["data"] == []
        listening = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        assert connection.execute(f"SELECT count(*) {listening}").fetchone() == (1,)

        for _ in range(2_000):
            connection.execute(f"NOTIFY {CHANNEL}")

        reads = f"SELECT bool_and(wait_event = 'ClientRead') {listening}"
        wait_until(lambda: connection.execute(reads).fetchone() == (True,), "the listener to read", patience=10)


def test_a_reader_of_one_source_is_answered_when_that_source_sends(
    shared_database_url: str, narrow: Server, end: str
) -> None:
    asking = ask(narrow, f"/feed?source=shop&wait=25&after={end}")
    deliver(narrow)
    assert not is_answered(asking)

    with opened(shared_database_url) as database:
        store(database, "w-of-the-shop", source="shop")

    assert ids(answer(asking)) == ["w-of-the-shop"]


def test_a_reader_is_answered_at_once_when_there_is_something(narrow: Server, end: str) -> None:
    sent = deliver(narrow)
    began = time.monotonic()

    assert ids(answer(ask(narrow, f"/feed?wait=25&after={end}"))) == [sent]
    assert time.monotonic() - began < SOON


def test_a_reader_that_waited_in_vain_has_an_empty_answer_and_a_place(narrow: Server, end: str) -> None:
    began = time.monotonic()

    status, page = answer(ask(narrow, f"/feed?wait=1&after={end}"))

    assert (status, page) == (200, {"data": [], "next": end})
    assert time.monotonic() - began >= 1


def test_many_wait_without_taking_a_thread(narrow: Server, end: str) -> None:
    with ExitStack() as stack:
        waiting = [stack.enter_context(ask(narrow, f"/feed?wait=25&after={end}")) for _ in range(100)]
        assert not is_answered(waiting[-1])

        assert narrow.get("/messages").status == 200  # by one of two threads
        sent = deliver(narrow)

        assert [ids(answer(each)) for each in waiting] == [[sent]] * 100


def test_a_lease_waits_for_a_message_that_passes_the_filter(narrow: Server, crm: str) -> None:
    narrow.request("PUT", crm, b'{"filter":{"from":"+491"}}')
    asking = ask(narrow, f"{crm}/lease?wait=25", "POST")

    deliver(narrow, **{"from": "+492"})
    assert not is_answered(asking)
    sent = deliver(narrow, **{"from": "+491"})

    assert ids(answer(asking)) == [sent]


def test_a_lease_waits_for_one_that_expires(narrow: Server, crm: str) -> None:
    deliver(narrow)
    narrow.post(f"{crm}/lease?seconds=1")

    status, given = answer(ask(narrow, f"{crm}/lease?wait=25", "POST"))

    assert (status, given["attempt"]) == (200, 2)


def test_a_lease_waits_for_a_refused_one(narrow: Server, crm: str) -> None:
    deliver(narrow)
    token = narrow.post(f"{crm}/lease?seconds=600").json()["lease"]
    asking = ask(narrow, f"{crm}/lease?wait=25", "POST")
    assert not is_answered(asking)

    narrow.post(f"{crm}/nack", json.dumps({"lease": token}).encode())

    assert answer(asking)[1]["attempt"] == 2


def lease(server: Server, consumer: str, wait: int) -> list[str]:
    """Takes messages and acknowledges them; returns their IDs."""
    given = server.post(f"{consumer}/lease?wait={wait}")
    if given.status == 204:
        return []
    server.post(f"{consumer}/ack", json.dumps({"lease": given.json()["lease"]}).encode())
    return ids((given.status, given.json()))


class FeedReader:
    """A reader of the feed that keeps its place."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._place = find_end(server)

    def read(self, wait: int) -> list[str]:
        """Reads the next messages; returns their IDs."""
        page = self._server.get(f"/feed?wait={wait}&after={self._place}").json()
        self._place = page["next"]
        return ids((200, page))


@pytest.mark.parametrize("reads", ["lease", "feed"])
def test_who_keeps_up_is_given_what_comes_in_many_at_a_time(narrow: Server, crm: str, reads: str) -> None:
    read = partial(lease, narrow, crm) if reads == "lease" else FeedReader(narrow).read
    sent, given = [], []
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(read, 25)
        began = time.monotonic()
        while time.monotonic() - began < 1:
            sent.append(deliver(narrow))
            if asking.done():
                given.append(asking.result())
                asking = threads.submit(read, 25)
        while sum(map(len, given)) < len(sent):
            given.append(asking.result())
            asking = threads.submit(read, 1)

    assert [each for answered in given for each in answered] == sent
    assert len(given) <= 1 / SHORTEST_REST + 2


@pytest.mark.parametrize("reads", ["POST", "GET"], ids=["lease", "feed"])
def test_a_message_is_given_within_a_tenth_of_a_second(narrow: Server, reads: str) -> None:
    def take(*, waits: bool) -> float:
        # One that asks once more might rest.
        path = f"{make_consumer(narrow)}/lease" if reads == "POST" else "/feed"
        wanted = f"{path}?wait=25" + (f"&after={find_end(narrow)}" if reads == "GET" else "")
        asking = ask(narrow, wanted, reads) if waits else None
        assert asking is None or not is_answered(asking)
        deliver(narrow)
        began = time.monotonic()
        answer(asking or ask(narrow, wanted, reads))
        return time.monotonic() - began

    at_once, waited = zip(*((take(waits=False), take(waits=True)) for _ in range(5)), strict=True)

    assert median(waited) <= median(at_once) + 0.1


def test_each_of_many_workers_that_wait_gets_messages_of_its_own(narrow: Server, crm: str) -> None:
    waiting = [ask(narrow, f"{crm}/lease?wait=25&limit=1", "POST") for _ in range(10)]
    assert not is_answered(waiting[-1])

    sent = [deliver(narrow) for _ in range(10)]

    assert sorted(ids(answer(each)) for each in waiting) == sorted([each] for each in sent)


def test_nothing_is_given_to_a_client_that_is_gone(narrow: Server, crm: str) -> None:
    asking = ask(narrow, f"{crm}/lease?wait=25", "POST")
    assert not is_answered(asking)
    port = asking.getsockname()[1]
    asking.close()
    wait_until(lambda: not is_open(port), "the server to close its side")

    deliver(narrow)

    assert narrow.post(f"{crm}/lease").status == 200
    assert narrow.get(crm).json()["leases"] == 1


def test_a_connection_goes_on_after_an_answer_that_was_held_back(narrow: Server, end: str) -> None:
    asking = ask(narrow, f"/feed?wait=1&after={end}")
    asking.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

    with asking:
        received = b"".join(iter(lambda: asking.recv(65536), b""))

    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.index(b'"next"') < received.index(b'"status":"ok"')


def test_one_who_may_not_read_is_told_so_at_once_and_a_stopping_server_answers_who_waits(sqlite_url: str) -> None:
    with Server(sqlite_url, API_TOKEN="t0ken", WEB_CONCURRENCY="1") as server:
        began = time.monotonic()
        assert answer(ask(server, "/feed?wait=25"))[0] == 401
        assert time.monotonic() - began < SOON
        asking = ask(server, "/feed?wait=25", more="Authorization: Bearer t0ken\r\n")
        assert not is_answered(asking)
        began = time.monotonic()

        server.terminate()

        assert answer(asking)[1]["data"] == []
        assert time.monotonic() - began < SOON + 3
        assert [line["status"] for line in server.request_lines() if line["path"] == "/feed"] == [401, 200]


def test_under_another_server_a_few_threads_wait_and_the_others_are_answered(sqlite_url: str) -> None:
    def ask_here(wait: int) -> tuple[float, list[str]]:
        began = time.monotonic()
        page = made.application.test_client().get(f"/feed?wait={wait}").get_json()
        return time.monotonic() - began, [each["message_id"] for each in page["data"]]

    with application(sqlite_url, threads=4) as made, ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(ask_here, 25) for _ in range(3)]
        wait_until(lambda: any(each.done() for each in waiting), "one for whom there is no thread")
        with opened(sqlite_url) as database:
            store(database, "m1")
        answered = [each.result() for each in waiting]

    assert sorted(found for _, found in answered) == [[], ["m1"], ["m1"]]
    assert max(seconds for seconds, _ in answered) < 20
