"""The delivery loop: which requests are its own, and that no client, reader or other delivery waits for it."""

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from signal import SIGQUIT
from threading import Event, Timer
from typing import Any

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]  # gunicorn has no types
from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn  # type: ignore[import-untyped]

from tests.faults.holding import held_turn
from tests.support.deliveries import payload, signed, to_bytes
from tests.support.server import Server
from tests.support.stored import stored_ids
from tests.support.waiting import wait_until
from webhook_service.worker import MAX_DELIVERY, DeliveryLoop, InboxWorker, missing

OK = b'{"status":"ok"}'

HEAD = b"POST /webhook HTTP/1.1\r\n"
OF_THE_LOOP = {
    "whole": (HEAD + b"Content-Length: 2\r\n\r\n{}", 0),
    "of another provider": (b"POST /webhook/twilio HTTP/1.1\r\nA: b\r\ncontent-length:2\r\nC: d\r\n\r\n{}", 0),
    "with a query": (b"POST /webhook?a=b HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 0),
    "half a head": (HEAD + b"Content-Length: 2\r\n", 1),
    "a head": (HEAD + b"Content-Length: 70\r\n\r\n", 70),
    "half a body": (HEAD + b"Content-Length: 3\r\n\r\n{}", 1),
}
OF_THE_POOL = {
    "nothing": b"",
    "more than one": HEAD + b"Content-Length: 2\r\n\r\n{}P",
    "without a length": HEAD + b"Host: a\r\n\r\n",
    "chunked": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    "from one who waits to be told to go on": HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n",
    "a length that is none": HEAD + b"Content-Length: +2\r\n\r\n{}",
    "a length in the body": HEAD + b"Host: a\r\n\r\n\r\nContent-Length: 0\r\n\r\n",
    "large": HEAD + b"Content-Length: %d\r\n\r\n" % MAX_DELIVERY,
    "a head without an end": HEAD.ljust(MAX_DELIVERY, b"a"),
    "another method": b"GET /webhook HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "another path": b"POST /webhooks HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
}


@pytest.fixture
def narrow_server(sqlite_url: str) -> Iterator[Server]:
    """One worker whose pool has a single thread."""
    with Server(sqlite_url, WEB_CONCURRENCY="1", GUNICORN_THREADS="1") as server:
        yield server


def request(raw: bytes | None = None, *, close: bool = False) -> bytes:
    """A signed delivery as it is sent."""
    raw = to_bytes(payload()) if raw is None else raw
    headers = {"Host": "localhost", "Content-Length": str(len(raw)), **signed(raw)}
    if close:
        headers["Connection"] = "close"
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /webhook HTTP/1.1\r\n{head}\r\n".encode() + raw


def read_answers(connection: socket.socket, number: int) -> bytes:
    """Reads until that many deliveries are answered, or the connection is closed."""
    received = b""
    while received.count(OK) < number and (part := connection.recv(65536)):
        received += part
    return received


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(("arrived", "lacks"), OF_THE_LOOP.values(), ids=OF_THE_LOOP)
def test_what_is_missing_of_a_delivery_is_known(arrived: bytes, lacks: int) -> None:
    assert missing(arrived) == lacks


@pytest.mark.parametrize("arrived", OF_THE_POOL.values(), ids=OF_THE_POOL)
def test_what_is_not_one_plain_delivery_is_left_to_the_pool(arrived: bytes) -> None:
    assert missing(arrived) is None


def test_deliveries_that_wait_for_their_turn_leave_the_pool_to_readers(narrow_server: Server, sqlite_url: str) -> None:
    with held_turn(sqlite_url, "slow"), ThreadPoolExecutor(5) as threads:
        told = [threads.submit(narrow_server.deliver, payload()) for _ in range(5)]
        wait_until(lambda: narrow_server.get("/stats").status == 200, "a read to be answered")
        statuses = {future.result().status for future in told}

    assert statuses == {503}


def test_a_delivery_in_pieces_keeps_no_other_waiting(narrow_server: Server) -> None:
    sent = request()

    with narrow_server.connect() as slow, narrow_server.connect() as quick:
        slow.sendall(sent[:50])
        for _ in range(3):
            quick.sendall(request())
            assert read_answers(quick, 1).startswith(b"HTTP/1.1 200 ")
        slow.sendall(sent[50:-10])
        quick.sendall(request())
        assert read_answers(quick, 1).startswith(b"HTTP/1.1 200 ")
        slow.sendall(sent[-10:])

        assert read_answers(slow, 1).startswith(b"HTTP/1.1 200 ")


def test_a_connection_that_says_nothing_takes_no_thread(narrow_server: Server) -> None:
    silent = [narrow_server.connect() for _ in range(20)]

    answered = narrow_server.get("/health/live").status, narrow_server.deliver(payload()).status

    for connection in silent:
        connection.close()
    assert answered == (200, 200)


def test_a_connection_may_carry_deliveries_and_reads_in_turn(narrow_server: Server) -> None:
    read = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"

    with narrow_server.connect() as connection:
        for sent in [request(), read, request(), request(), read, read, request()]:
            connection.sendall(sent)
            assert read_answers(connection, 1).startswith(b"HTTP/1.1 200 ")


def test_deliveries_sent_without_waiting_for_answers_are_all_answered(narrow_server: Server) -> None:
    with narrow_server.connect() as connection:
        connection.sendall(b"".join(request() for _ in range(50)))

        assert read_answers(connection, 50).count(b"HTTP/1.1 200 ") == 50
    assert narrow_server.get("/stats").json()["total_messages"] == 50


def test_a_large_delivery_is_taken_all_the_same(narrow_server: Server) -> None:
    raw = to_bytes(payload()).ljust(2 * MAX_DELIVERY)

    with narrow_server.connect() as connection:
        for _ in range(2):
            connection.sendall(request(raw))
            assert read_answers(connection, 1).startswith(b"HTTP/1.1 200 ")


def test_a_refused_delivery_leaves_its_connection_open(narrow_server: Server) -> None:
    unsigned = b"POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"

    with narrow_server.connect() as connection:
        connection.sendall(unsigned)
        connection.sendall(unsigned)
        connection.sendall(request())

        answered = read_answers(connection, 1)
    assert [part[:4] for part in answered.split(b"HTTP/1.1 ")[1:]] == [b"401 ", b"401 ", b"200 "]


def test_a_head_that_gunicorn_does_not_take_is_400(narrow_server: Server) -> None:
    with narrow_server.connect() as connection:
        connection.sendall(b"POST /webhook HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\nb@d\r\n\r\n{}")

        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_a_connection_is_closed_after_its_delivery_if_the_client_says_so(narrow_server: Server) -> None:
    with narrow_server.connect() as connection:
        connection.sendall(request(close=True))

        assert read_answers(connection, 1).startswith(b"HTTP/1.1 200 ")
        wait_until(lambda: is_closed(connection), "the connection to be closed")


def test_half_a_delivery_takes_no_thread_and_is_answered_when_the_rest_comes(narrow_server: Server) -> None:
    sent = request()
    halves = [narrow_server.connect() for _ in range(20)]
    for number, connection in enumerate(halves):
        connection.sendall(sent[: 20 + number * 10])

    assert narrow_server.get("/health/live").status == 200
    for number, connection in enumerate(halves):
        connection.sendall(sent[20 + number * 10 :])
        assert read_answers(connection, 1).startswith(b"HTTP/1.1 200 ")
        connection.close()


def test_half_a_delivery_whose_client_hangs_up_costs_nothing(narrow_server: Server) -> None:
    with narrow_server.connect() as connection:
        connection.sendall(request()[:-10])
        connection.shutdown(socket.SHUT_WR)

        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")  # for what has come
    used = _processor_seconds(narrow_server)
    assert narrow_server.deliver(payload()).status == 200
    assert _processor_seconds(narrow_server) - used < 0.5


def test_an_answer_for_which_the_client_left_no_room_closes_the_connection() -> None:
    with _worker_that_answers(b"x" * 10_000) as worker, _connection_with_delivery(worker) as connection:
        with suppress(BlockingIOError):
            while connection.sock.send(b"x" * 1000):
                pass

        assert not worker.answer_delivery(connection)


def test_a_client_that_does_not_go_on_sending_loses_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook_service.worker.MAX_STANDSTILL", 0.2)

    with _worker_that_answers(b"") as worker, _connection_with(worker, b"GET / HT") as connection:
        assert _handles_in_time(worker, connection) is False


def test_a_client_that_does_not_take_its_answer_loses_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook_service.worker.MAX_STANDSTILL", 0.2)
    asked = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"

    with _worker_that_answers(b"x" * 10_000_000) as worker, _connection_with(worker, asked) as connection:
        assert _handles_in_time(worker, connection) is False


def test_a_connection_that_is_gone_before_it_is_served_is_closed() -> None:
    with _worker_that_answers(b"") as worker, _connection_with_delivery(worker) as connection:
        connection.sock.close()

        assert worker.handle(connection) is False


def test_a_client_that_takes_its_answer_slowly_gets_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook_service.worker.MAX_STANDSTILL", 1.0)
    answer = b"x" * 10_000_000
    ours, theirs = socket.socketpair()

    with _worker_that_answers(answer) as worker, ours, theirs, ThreadPoolExecutor(1) as threads:
        theirs.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        served = threads.submit(worker.handle, TConn(worker.cfg, ours, ("127.0.0.1", 1), ("127.0.0.1", 2)))
        taken, began = b"", time.monotonic()
        while not taken.endswith(answer):
            arrived = theirs.recv(100_000)
            assert arrived, "the answer was cut off"
            taken += arrived
            if time.monotonic() - began < 3:
                time.sleep(0.05)  # the client's own pace, three times as long as it may stand still

        served.result()
    assert taken.startswith(b"HTTP/1.1 200 ")


def test_a_loop_that_fails_takes_its_worker_along(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Event()
    signals: list[int] = []

    def note(pid: int, sig: int) -> None:
        assert pid == os.getpid()
        signals.append(sig)
        ended.set()

    def fail(_connection: TConn) -> bool:
        raise RuntimeError("a bug")

    with _worker_that_answers(b"") as worker, _connection_with_delivery(worker) as connection:
        monkeypatch.setattr(worker, "answer_delivery", fail)
        monkeypatch.setattr("webhook_service.worker.os.kill", note)
        monkeypatch.setattr("threading.excepthook", lambda _: None)
        loop = DeliveryLoop(worker)
        loop.add(connection)
        loop.start()

        assert ended.wait(60)
    assert signals == [SIGQUIT]


@contextmanager
def _worker_that_answers(body: bytes) -> Iterator[InboxWorker]:
    """A worker that was not started."""

    def application(_environ: object, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    config = Config()
    worker = InboxWorker(1, os.getpid(), [], None, 30, config, Logger(config))
    worker.wsgi = application
    yield worker
    worker.tmp.close()


def _handles_in_time(worker: InboxWorker, connection: TConn) -> object:
    """What the pool makes of a connection; fails when its client could keep the thread for 20 seconds."""
    late = Event()

    def end() -> None:
        late.set()
        connection.sock.shutdown(socket.SHUT_RDWR)

    timer = Timer(20, end)
    timer.start()
    try:
        return worker.handle(connection)
    finally:
        timer.cancel()
        assert not late.is_set()


def _connection_with_delivery(worker: InboxWorker) -> AbstractContextManager[TConn]:
    return _connection_with(worker, HEAD + b"Content-Length: 0\r\n\r\n")


@contextmanager
def _connection_with(worker: InboxWorker, sent: bytes) -> Iterator[TConn]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        yield TConn(worker.cfg, ours, ("127.0.0.1", 1), ("127.0.0.1", 2))


def _processor_seconds(server: Server) -> float:
    """What the workers have used so far: proc_pid_stat(5), fields 14 and 15."""
    ticks = 0
    for pid in server.worker_pids():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def test_an_idle_connection_of_the_loop_is_closed(sqlite_url: str) -> None:
    brief = Server(sqlite_url, WEB_CONCURRENCY="1", GUNICORN_CMD_ARGS="--keep-alive 1")

    with brief as server, server.connect() as idle, server.connect() as busy:
        idle.sendall(request())
        read_answers(idle, 1)

        def deliver_and_look() -> bool:
            busy.sendall(request())
            assert read_answers(busy, 1).startswith(b"HTTP/1.1 200 ")
            return is_closed(idle)

        wait_until(deliver_and_look, "the idle connection to be closed")


def test_a_stopping_server_waits_for_no_idle_connection(sqlite_url: str) -> None:
    with Server(sqlite_url) as server, server.connect() as idle:
        idle.sendall(request())
        read_answers(idle, 1)
        begun = time.monotonic()

        server.terminate()

        assert server.wait() == 0
        assert time.monotonic() - begun < 10  # gunicorn lets a client send what it may be sending, for 2 seconds


def test_what_is_under_way_when_the_server_stops_is_answered(narrow_server: Server, sqlite_url: str) -> None:
    with ThreadPoolExecutor(5) as threads:
        with held_turn(sqlite_url, "slow"):
            told = [threads.submit(narrow_server.deliver, payload(message_id=f"m-{n}")) for n in range(5)]
            wait_until(lambda: _is_waited_for(sqlite_url), "the loop to wait for its turn")
            narrow_server.terminate()
        statuses = [future.result().status for future in told]

    acknowledged = {f"m-{number}" for number, status in enumerate(statuses) if status == 200}
    assert 200 in statuses
    assert acknowledged <= set(stored_ids(sqlite_url))


def _is_waited_for(url: str) -> bool:
    """Whether some process is queued for the lock beside the file: proc_locks(5)."""
    inode = str(Path(url.removeprefix("sqlite:///") + ".lock").stat().st_ino)
    return any("->" in line and f":{inode} " in line for line in Path("/proc/locks").read_text().splitlines())
