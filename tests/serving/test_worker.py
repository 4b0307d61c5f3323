"""The gunicorn worker: which requests it takes in by the round, and that no client keeps another waiting."""

import os
import selectors
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGQUIT
from threading import Event, Timer
from typing import Any, cast

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]  # gunicorn has no types
from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from tests.faults.holding import held_turn
from tests.support.deliveries import payload, signed, to_bytes
from tests.support.server import Server
from tests.support.stored import stored_ids
from tests.support.waiting import wait_until
from webhook_service.intake.take_in import Intake
from webhook_service.serving.connection import Connection
from webhook_service.serving.framing import MAX_WHOLE, Arrived, Kind
from webhook_service.serving.rounds import Answer, Rounds
from webhook_service.serving.worker import STOP_LINGER, InboxWorker
from webhook_service.storage.database import Database

OK = b'{"status":"ok"}'

HEAD = b"POST /webhook HTTP/1.1\r\n"
DELIVERIES = {
    "whole": HEAD + b"Content-Length: 2\r\n\r\n{}",
    "of another provider": b"POST /webhook/twilio HTTP/1.1\r\nA: b\r\ncontent-length:2\r\nC: d\r\n\r\n{}",
    "with a query": b"POST /webhook?a=b HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "followed by another request": HEAD + b"Content-Length: 2\r\n\r\n{}P",
}
INCOMPLETE = {
    "half a head": HEAD + b"Content-Length: 2\r\n",
    "a head": HEAD + b"Content-Length: 70\r\n\r\n",
    "half a body": HEAD + b"Content-Length: 3\r\n\r\n{}",
    "half the body of another request": b"PUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\n{}",
}
EXPORTS = {
    "of all": b"GET /export HTTP/1.1\r\nHost: a\r\n\r\n",
    "of some": b"GET /export?from=%2B49 HTTP/1.1\r\nHost: a\r\n\r\n",
}
OTHERS = {
    "without a length": HEAD + b"Host: a\r\n\r\n",
    "a length in the body": HEAD + b"Host: a\r\n\r\n\r\nContent-Length: 0\r\n\r\n",
    "another method": b"GET /webhook HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "another path": b"POST /webhooks HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
}
LONG = {
    "chunked": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    "from one who waits to be told to go on": HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n",
    "a length that is none": HEAD + b"Content-Length: +2\r\n\r\n{}",
    "a length of many digits": HEAD + b"Content-Length: 0000000002\r\n\r\n{}",
    "large": HEAD + b"Content-Length: %d\r\n\r\n" % MAX_WHOLE,
    "a head without an end": HEAD.ljust(MAX_WHOLE, b"a"),
}
KINDS = [
    *(pytest.param(sent, Kind.DELIVERY, id=name) for name, sent in DELIVERIES.items()),
    *(pytest.param(sent, Kind.INCOMPLETE, id=name) for name, sent in INCOMPLETE.items()),
    *(pytest.param(sent, Kind.EXPORT, id=name) for name, sent in EXPORTS.items()),
    *(pytest.param(sent, Kind.OTHER, id=name) for name, sent in OTHERS.items()),
    *(pytest.param(sent, Kind.LONG, id=name) for name, sent in LONG.items()),
]


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


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize(("sent", "kind"), KINDS)
def test_a_request_is_known_by_what_has_arrived_of_it(sent: bytes, kind: Kind, step: int) -> None:
    arrived = Arrived()
    for start in range(0, len(sent), step):
        arrived.add(sent[start : start + step])
        arrived.kind()

    assert arrived.kind() is kind
    assert arrived.take() == sent


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
    raw = to_bytes(payload()).ljust(2 * MAX_WHOLE)

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

        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
    used = _processor_seconds(narrow_server)
    assert narrow_server.deliver(payload()).status == 200
    assert _processor_seconds(narrow_server) - used < 0.5


def test_a_delivery_whose_client_then_closes_its_side_is_answered(narrow_server: Server) -> None:
    with narrow_server.connect() as connection:
        connection.sendall(request())
        connection.shutdown(socket.SHUT_WR)

        assert read_answers(connection, 1).startswith(b"HTTP/1.1 200 ")
        assert connection.recv(65536) == b""


def test_a_client_that_does_not_close_after_its_last_answer_keeps_nobody_waiting(narrow_server: Server) -> None:
    lingering = [narrow_server.connect() for _ in range(8)]
    for connection in lingering:
        connection.sendall(request(close=True))
        assert read_answers(connection, 1).startswith(b"HTTP/1.1 200 ")

    begun = time.monotonic()
    answered = [narrow_server.deliver(payload()).status for _ in range(10)]

    for connection in lingering:
        connection.close()
    assert answered == [200] * 10
    assert time.monotonic() - begun < 1.5  # less than one of them may linger


def test_the_time_a_delivery_waits_for_its_round_is_in_its_latency(narrow_server: Server, sqlite_url: str) -> None:
    with held_turn(sqlite_url, "slow"), ThreadPoolExecutor(2) as threads:
        first = threads.submit(narrow_server.deliver, payload())
        wait_until(lambda: not first.done() and _is_waiting(narrow_server), "the first round to wait")
        second = threads.submit(narrow_server.deliver, payload())
        statuses = {first.result().status, second.result().status}

    wait_until(lambda: len(_latencies(narrow_server)) == 2, "their lines")
    assert statuses == {503}
    assert max(_latencies(narrow_server)) > 2500


@pytest.mark.parametrize("size", [100, 1024, 1025, 5000])
def test_a_limit_on_bodies_holds_for_small_ones_too(size: int, sqlite_url: str) -> None:
    raw = to_bytes(payload()).ljust(size)

    with Server(sqlite_url, WEB_CONCURRENCY="1", MAX_BODY_BYTES="1024") as server:
        status = server.deliver(raw).status

    assert status == (200 if len(raw) <= 1024 else 413)


def test_a_provider_without_a_secret_and_an_unknown_one_are_refused_as_by_the_view(sqlite_url: str) -> None:
    with Server(sqlite_url, WEB_CONCURRENCY="1", WEBHOOK_SECRET="") as server:
        answers = [server.post(path, b"{}").status for path in ("/webhook", "/webhook/twilio", "/webhook/unknown")]

    assert answers == [503, 404, 404]


def test_a_client_that_does_not_go_on_sending_loses_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook_service.serving.worker.MAX_STANDSTILL", 0.2)

    with _worker_that_answers(b"") as worker, _connection_with(worker, b"GET / HT") as connection:
        assert _handles_in_time(worker, connection) is False


def test_a_client_that_does_not_take_its_answer_loses_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook_service.serving.worker.MAX_STANDSTILL", 0.2)
    asked = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"

    with _worker_that_answers(b"x" * 10_000_000) as worker, _connection_with(worker, asked) as connection:
        assert _handles_in_time(worker, connection) is False


def test_a_client_that_trickles_a_long_body_loses_its_thread_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook_service.serving.connection.MAX_DELAY", 0.2)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    ours, theirs = socket.socketpair()

    def read_all(environ: Any, start_response: Any) -> list[bytes]:
        return [environ["wsgi.input"].read()]

    with _worker_that_answers(b"") as worker, ours, theirs, ThreadPoolExecutor(1) as threads:
        worker.wsgi = read_all
        worker.poller = selectors.DefaultSelector()
        connection = Connection(worker.cfg, ours, ("127.0.0.1", 1), ("127.0.0.1", 2))
        theirs.sendall(head)
        connection.receive()
        connection.begin_long(0)
        worker._connections[connection] = None  # as if it had been accepted
        served = threads.submit(worker.handle, connection)

        def trickle() -> bool:
            with suppress(OSError):
                theirs.sendall(b"1\r\n{\r\n")
            worker._inspect()  # as the worker's loop does
            return served.done()

        wait_until(trickle, "the thread to be free")

        assert served.result() is False


def test_a_connection_that_is_gone_before_it_is_served_is_closed() -> None:
    with _worker_that_answers(b"") as worker, _connection_with(worker, b"") as connection:
        connection.sock.close()

        assert worker.handle(connection) is False


def test_a_client_that_takes_its_answer_slowly_gets_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook_service.serving.worker.MAX_STANDSTILL", 1.0)
    answer = b"x" * 10_000_000
    ours, theirs = socket.socketpair()

    with _worker_that_answers(answer) as worker, ours, theirs, ThreadPoolExecutor(1) as threads:
        theirs.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        served = threads.submit(worker.handle, Connection(worker.cfg, ours, ("127.0.0.1", 1), ("127.0.0.1", 2)))
        taken, began = b"", time.monotonic()
        while not taken.endswith(answer):
            arrived = theirs.recv(100_000)
            assert arrived, "the answer was cut off"
            taken += arrived
            if time.monotonic() - began < 3:
                time.sleep(0.05)  # the client's own pace, three times as long as it may stand still

        served.result()
    assert taken.startswith(b"HTTP/1.1 200 ")


def test_an_answer_for_which_the_client_left_no_room_closes_the_connection() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        with suppress(BlockingIOError):
            while ours.send(b"x" * 1000):
                pass
        answer = Answer(None, None, Config())
        answer.sock.sendall(b"an answer")

        with pytest.raises(BlockingIOError):
            answer.send_by(ours)


def test_a_thread_of_rounds_that_fails_takes_its_worker_along(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Event()
    signals: list[int] = []

    def note(pid: int, sig: int) -> None:
        assert pid == os.getpid()
        signals.append(sig)
        ended.set()

    def fail(_connections: object) -> None:
        raise RuntimeError("a bug")

    with _worker_that_answers(b"") as worker, _connection_with(worker, b"") as connection:
        rounds = Rounds(worker, Intake({}, cast("Database", None), max_body_bytes=0), notify=ended.set)
        monkeypatch.setattr(rounds, "_serve", fail)
        monkeypatch.setattr("webhook_service.serving.rounds.os.kill", note)
        monkeypatch.setattr("threading.excepthook", lambda _: None)
        rounds.start()
        rounds.submit([connection])

        assert ended.wait(60)
    assert signals == [SIGQUIT]


def test_a_signal_to_quit_interrupts_nothing_however_often_it_comes() -> None:
    with _worker_that_answers(b"") as worker:
        worker.method_queue.init()
        worker.tpool = worker.get_thread_pool()

        for _ in range(3):
            worker.handle_quit(SIGQUIT, None)  # gunicorn's own raises SystemExit wherever the thread is

        assert not worker.alive
        assert worker.tpool.submit(int).result() == 0
        worker.tpool.shutdown()
        worker.method_queue.close()


def test_a_connection_whose_answer_was_begun_before_a_stop_is_not_kept_for_long_after_it() -> None:
    with _worker_that_answers(b"") as worker, _connection_with(worker, b"") as connection:
        worker.poller = selectors.DefaultSelector()
        worker._connections[connection] = None  # as if it had been accepted
        worker.alive = False

        worker._release(connection, keep=True)

        assert connection.deadline <= time.monotonic() + STOP_LINGER


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


def _handles_in_time(worker: InboxWorker, connection: Connection) -> object:
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


@contextmanager
def _connection_with(worker: InboxWorker, sent: bytes) -> Iterator[Connection]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        yield Connection(worker.cfg, ours, ("127.0.0.1", 1), ("127.0.0.1", 2))


def _latencies(server: Server) -> list[float]:
    return [line["latency_ms"] for line in server.request_lines() if line["path"] == "/webhook"]


def _is_waiting(server: Server) -> bool:
    """Tells whether a read is answered, which shows that the main thread went on past a round that waits."""
    return server.get("/stats").status == 200


def _processor_seconds(server: Server) -> float:
    """What the workers have used so far: proc_pid_stat(5), fields 14 and 15."""
    ticks = 0
    for pid in server.worker_pids():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def test_an_idle_connection_is_closed(sqlite_url: str) -> None:
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
            wait_until(lambda: _is_waiting(narrow_server), "a read to be answered meanwhile")
            narrow_server.terminate()
        statuses = [future.result().status for future in told]

    acknowledged = {f"m-{number}" for number, status in enumerate(statuses) if status == 200}
    assert 200 in statuses
    assert acknowledged <= set(stored_ids(sqlite_url))


def test_a_delivery_that_names_no_host_is_refused_and_not_stored(narrow_server: Server, sqlite_url: str) -> None:
    without_host = request(close=True).replace(b"Host: localhost\r\n", b"")

    with narrow_server.connect() as connection:
        connection.sendall(without_host)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert stored_ids(sqlite_url) == []


def test_an_answer_that_a_client_leaves_no_room_for_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        answer = Answer(cast("Any", None), None, Config())
        answer.sock.sendall(b"a" * 2**24)

        with pytest.raises(BlockingIOError):
            answer.send_by(ours)


def test_a_stopping_server_keeps_no_new_client_waiting_for_one_that_sends_slowly(sqlite_url: str) -> None:
    slow = HEAD + b"Host: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{"

    with Server(sqlite_url, WEB_CONCURRENCY="1", GUNICORN_THREADS="2") as server, server.connect() as sending:
        sending.sendall(slow)
        assert server.get("/health/live").status == 200  # by the thread that the slow one leaves free
        server.terminate()
        wait_until(lambda: not _takes_connections(server), "new clients to be refused", patience=10)

        assert server.wait() == 0


def _takes_connections(server: Server) -> bool:
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return False
    return True
