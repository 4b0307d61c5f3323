"""The gunicorn worker behind a real server: rounds of deliveries, and no client keeps another waiting."""

import os
import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.holding import held_turn
from tests.support.deliveries import payload, signed, to_bytes
from tests.support.server import Server
from tests.support.stored import stored_ids
from tests.support.waiting import wait_until
from webhook_service.serving.framing import MAX_WHOLE

OK = b'{"status":"ok"}'


def narrow(url: str) -> Server:
    """One worker whose pool has a single thread."""
    return Server(url, WEB_CONCURRENCY="1", GUNICORN_THREADS="1")


@pytest.fixture(scope="module")
def narrow_url(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path_factory.mktemp('narrow') / 'app.db')}"


@pytest.fixture(scope="module")
def narrow_server(narrow_url: str) -> Iterator[Server]:
    """Such a server, for the tests that neither stop it nor mind each other's messages."""
    with narrow(narrow_url) as server:
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


def test_deliveries_that_wait_for_their_turn_leave_the_pool_to_readers(narrow_server: Server, narrow_url: str) -> None:
    with held_turn(narrow_url, "slow"), ThreadPoolExecutor(5) as threads:
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
    before = narrow_server.get("/stats").json()["total_messages"]

    with narrow_server.connect() as connection:
        connection.sendall(b"".join(request() for _ in range(50)))

        assert read_answers(connection, 50).count(b"HTTP/1.1 200 ") == 50
    assert narrow_server.get("/stats").json()["total_messages"] == before + 50


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
    assert time.monotonic() - begun < 2  # less than one of them may linger


def test_the_time_a_delivery_waits_for_its_round_is_in_its_latency(sqlite_url: str) -> None:
    with narrow(sqlite_url) as server:
        with held_turn(sqlite_url, "slow"), ThreadPoolExecutor(2) as threads:
            first = threads.submit(server.deliver, payload())
            wait_until(lambda: not first.done() and _is_waiting(server), "the first round to wait")
            second = threads.submit(server.deliver, payload())
            statuses = {first.result().status, second.result().status}

        wait_until(lambda: len(_latencies(server)) == 2, "their lines")
        assert statuses == {503}
        assert max(_latencies(server)) > 2500


def test_a_limit_on_bodies_holds_for_small_ones_too(sqlite_url: str) -> None:
    sizes = (200, 1024, 1025, 5000)

    with Server(sqlite_url, WEB_CONCURRENCY="1", MAX_BODY_BYTES="1024") as server:
        statuses = [server.deliver(to_bytes(payload()).ljust(size)).status for size in sizes]

    assert statuses == [200, 200, 413, 413]


def test_a_provider_without_a_secret_and_an_unknown_one_are_refused_as_by_the_view(sqlite_url: str) -> None:
    with Server(sqlite_url, WEB_CONCURRENCY="1", WEBHOOK_SECRET="") as server:
        answers = [server.post(path, b"{}").status for path in ("/webhook", "/webhook/twilio", "/webhook/unknown")]

    assert answers == [503, 404, 404]


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


def test_what_is_under_way_when_the_server_stops_is_answered(sqlite_url: str) -> None:
    with narrow(sqlite_url) as server, ThreadPoolExecutor(5) as threads:
        with held_turn(sqlite_url, "slow"):
            told = [threads.submit(server.deliver, payload(message_id=f"m-{n}")) for n in range(5)]
            wait_until(lambda: _is_waiting(server), "a read to be answered meanwhile")
            server.terminate()
        statuses = [future.result().status for future in told]

    acknowledged = {f"m-{number}" for number, status in enumerate(statuses) if status == 200}
    assert 200 in statuses
    assert acknowledged <= set(stored_ids(sqlite_url))


def test_a_delivery_that_names_no_host_is_refused_and_not_stored(narrow_server: Server, narrow_url: str) -> None:
    without_host = request(close=True).replace(b"Host: localhost\r\n", b"")
    before = stored_ids(narrow_url)

    with narrow_server.connect() as connection:
        connection.sendall(without_host)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert stored_ids(narrow_url) == before


def test_a_stopping_server_keeps_no_new_client_waiting_for_one_that_sends_slowly(sqlite_url: str) -> None:
    slow = b"POST /webhook HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{"

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
