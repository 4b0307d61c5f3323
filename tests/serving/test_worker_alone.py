"""The gunicorn worker without a server: clients that stand still, a thread that fails, and signals."""

import os
import selectors
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from signal import SIGQUIT
from threading import Event, Timer
from typing import Any, cast

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]  # gunicorn has no types
from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from tests.support.waiting import wait_until
from webhook_service.intake.take_in import Intake
from webhook_service.serving.connection import STOP_LINGER, STOP_LONG, Connection
from webhook_service.serving.rounds import BufferedResponse, Rounds
from webhook_service.serving.worker import InboxWorker
from webhook_service.storage.database import Database


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
        answer = BufferedResponse(None, None, Config())
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
        connection.end()

        worker._resume_or_linger(connection, keep=True)

        assert connection.deadline <= time.monotonic() + STOP_LINGER


def test_a_request_that_begins_during_a_stop_does_not_keep_the_worker_for_long() -> None:
    with _worker_that_answers(b"") as worker, _connection_with(worker, b"G") as connection:
        connection.end()

        connection.receive()

        assert connection.deadline <= time.monotonic() + STOP_LINGER


@pytest.mark.parametrize(
    "head", [b"POST / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", b"GET /export HTTP/1.1\r\n\r\n"]
)
def test_a_long_request_that_begins_during_a_stop_does_not_keep_the_worker_for_long(head: bytes) -> None:
    with _worker_that_answers(b"") as worker, _connection_with(worker, head) as connection:
        connection.end()
        connection.receive()

        connection.queue()
        waits_until = connection.deadline
        connection.begin_long(10_000_000)

        assert max(waits_until, connection.deadline) <= time.monotonic() + STOP_LONG


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


def test_an_answer_that_a_client_leaves_no_room_for_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        answer = BufferedResponse(cast("Any", None), None, Config())
        answer.sock.sendall(b"a" * 2**24)

        with pytest.raises(BlockingIOError):
            answer.send_by(ours)
