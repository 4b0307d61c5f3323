"""``FUZZ_REQUESTS`` (1,000) generated requests over sockets to a real server, which stays well."""

import os
import re
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fuzz.requests import Requests
from tests.support.deliveries import SECRET, payload
from tests.support.server import FreshServer

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "1000"))
CLIENTS = 8
AT_ONCE = 10  # requests on a connection, of which the last is the one that may break it
STEPS = 20  # in which memory is measured, and progress told
WARM = 4  # of them pass before memory is measured first
GROWTH = 24 * 1024  # kB that a worker may have more at the end
SEED = 1

_STATUS = re.compile(rb"HTTP/1\.1 ([2-5][0-9]{2}) ")


def resident(server: FreshServer) -> int:
    """The memory of the worker that has most, in kB."""
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in server.worker_pids()]
    return max(int(status.partition("VmRSS:")[2].split()[0]) for status in statuses)


def send(server: FreshServer, sent: bytes) -> bytes:
    """Sends bytes and the end of them; returns all that comes back."""
    received = b""
    with server.connect() as connection, suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(2**20):
            received += part
    return received


def client(server: FreshServer, requests: Requests, number: int) -> tuple[Counter[int], list[bytes]]:
    """Sends that many requests; returns how many answers had which status, and what got one that is a fault."""
    statuses: Counter[int] = Counter()
    faults = []
    for _ in range(0, number, AT_ONCE):
        sent = b"".join([*(requests.well_framed() for _ in range(AT_ONCE - 1)), requests.any()])
        told = [int(status) for status in _STATUS.findall(send(server, sent))]
        statuses.update(told)
        if any(status >= 500 and status not in {501, 503} for status in told):
            faults.append(sent)
    return statuses, faults


def send_all(server: FreshServer, requests: list[Requests], number: int) -> tuple[Counter[int], list[bytes]]:
    """The same by several clients at once."""
    statuses: Counter[int] = Counter()
    faults: list[bytes] = []
    with ThreadPoolExecutor(CLIENTS) as threads:
        for told, wrong in threads.map(lambda each: client(server, each, number // CLIENTS), requests):
            statuses += told
            faults += wrong
    return statuses, faults


def complaints(log: Path) -> Iterator[str]:
    """The lines of the log that a request must not cause."""
    with log.open() as lines:
        yield from (line for line in lines if '"traceback"' in line or '"ERROR"' in line or '"CRITICAL"' in line)


@pytest.mark.timeout(0)
def test_no_request_does_a_server_any_harm(sqlite_url: str) -> None:
    settings = {"API_TOKEN": "token", "WHATSAPP_APP_SECRET": SECRET, "WHATSAPP_VERIFY_TOKEN": "token"}
    with FreshServer(sqlite_url, **settings) as server:
        workers = server.worker_pids()
        contract = server.get("/openapi.json", {"Authorization": "Bearer token"}).json()
        requests = [Requests(contract, "token", SEED + number) for number in range(CLIENTS)]

        statuses: Counter[int] = Counter()
        memory = []
        for _ in range(STEPS):
            told, faults = send_all(server, requests, REQUESTS // STEPS)
            statuses += told
            memory.append(resident(server))
            print(f"{sum(statuses.values())} answers: {dict(sorted(statuses.items()))}; {memory[-1]} kB", flush=True)
            assert faults[:3] == []
        assert list(complaints(server.stdout))[:3] == []
        assert server.worker_pids() == workers
        assert server.deliver(payload()).status == 200
    assert max(memory[WARM:]) - memory[WARM - 1] < GROWTH
    assert statuses[200] > REQUESTS * 0.1
