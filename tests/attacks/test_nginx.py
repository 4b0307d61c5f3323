"""Hostile clients of the shipped nginx, which bounds what one address can take; whoever has another does not notice.

``ATTACK_SECONDS`` (1) says for how long each kind goes on; ``make attack`` sets it.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from time import monotonic

import pytest

from tests.support.deliveries import payload, signed, to_bytes
from tests.support.load import Answer, Load
from tests.support.nginx import Client, Nginx
from tests.support.processes import ROOT
from tests.support.server import Server
from tests.support.waiting import wait_until

SECONDS = float(os.environ.get("ATTACK_SECONDS", "1"))
DELIVERIES = 300  # for a percentile
SLOW_CLIENTS = 500
READS_AT_A_TIME = 128
DELIVERIES_AT_A_TIME = 512
TIMES_AS_SLOW = 3
# Below this the ratio of two times says more of the machine than of the service; alone, p99 is about 20 ms here.
NOTICEABLE = 0.1  # seconds
# The flood, those who measure it, nginx and the service share the cores here, so this is about who gets an answer.
PATIENCE_OF_A_PROVIDER = 10.0  # seconds

GOOD, HOSTILE = "127.0.0.2", "127.0.0.3"


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Server]:
    """A server behind each nginx of this file."""
    database = shutil.copy(sqlite_template, tmp_path_factory.mktemp("behind_nginx") / "app.db")
    with Server(f"sqlite:///{database}", TRUSTED_PROXIES="1", API_TOKEN="token") as server:
        yield server


@pytest.fixture(scope="module")
def nginx(attacked: Server) -> Iterator[Nginx]:
    """The nginx that most attacks meet."""
    with Nginx(attacked) as running:
        yield running


@pytest.fixture
def good(nginx: Nginx) -> Iterator[Client]:
    """A well-behaved client at an address of its own."""
    with Client(nginx, GOOD) as client:
        yield client


def is_answered(connection: socket.socket) -> bool:
    """Tells whether nginx has answered on a connection or closed it."""
    try:
        connection.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def trickling(nginx: Nginx, heads: list[bytes]) -> Iterator[None]:
    """Holds a connection of the hostile address for each head, and sends a byte a second more on each of them.

    One that nginx answers or closes is opened again. It refuses one, for example, when another request of the address
    takes the last of the places for as long as that is under way.
    """
    stopped = Event()
    with ExitStack() as stack:

        def opened(head: bytes) -> socket.socket:
            connection = socket.create_connection(("127.0.0.1", nginx.port), source_address=(HOSTILE, 0))
            stack.enter_context(connection)
            connection.sendall(head)
            return connection

        held = [opened(head) for head in heads]

        def trickle() -> None:
            while not stopped.wait(1):
                for number, head in enumerate(heads):
                    with suppress(OSError):
                        if is_answered(held[number]):
                            held[number].close()
                            held[number] = opened(head)
                        held[number].sendall(b"a")

        thread = Thread(target=trickle)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()


@contextmanager
def flood(nginx: Nginx, connections: int) -> Iterator[Counter[str]]:
    """Floods from the hostile address until some of that was refused by a limit, and on while the block runs.

    When the block is left, what it yielded says how often the flood got each status.
    """
    command = [sys.executable, "-m", "tests.attacks.flood", str(nginx.port), HOSTILE, str(connections)]
    statuses: Counter[str] = Counter()
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield statuses
        counted, _ = process.communicate()
        statuses.update(json.loads(counted))


def percentile(answers: list[Answer]) -> float:
    """The seconds that 99 of 100 answers took at most."""
    return sorted(answer.seconds for answer in answers)[len(answers) * 99 // 100]


def deliver_for_a_while(client: Client, number: int = DELIVERIES) -> list[Answer]:
    """The answers to good deliveries of eight senders; each of them is 200."""
    with Load(client) as load:
        begun = monotonic()
        wait_until(lambda: monotonic() > begun + SECONDS and len(load.answers) >= number, "enough deliveries")
    assert load.statuses() == {200}
    return load.answers


def unfinished(path: str, headers: str = "") -> bytes:
    """The head of a request whose body never comes to its end."""
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: 1000\r\n\r\n".encode()


def test_clients_of_a_byte_a_second_slow_no_delivery_down(nginx: Nginx, good: Client) -> None:
    calm = percentile(deliver_for_a_while(good))

    heads = [b"POST /webhook HTTP/1.1\r\nX-A: ", unfinished("/webhook"), unfinished("/messages"), b""]
    with trickling(nginx, heads * (SLOW_CLIENTS // len(heads))):
        attacked = percentile(deliver_for_a_while(good))

    assert attacked < max(TIMES_AS_SLOW * calm, NOTICEABLE)


def test_a_flood_of_wrong_signatures_is_limited_for_its_address_alone(nginx: Nginx, good: Client) -> None:
    with flood(nginx, 2 * DELIVERIES_AT_A_TIME) as statuses:
        answers = deliver_for_a_while(good, 100)
        written = len(nginx.output().splitlines())

    assert set(statuses) == {"401", "503"}, statuses
    assert percentile(answers) < PATIENCE_OF_A_PROVIDER
    assert written < statuses["503"] / 10  # a line each would let a flood fill the disk


def test_an_address_that_delivers_too_much_at_a_time_is_asked_to_come_back(nginx: Nginx, good: Client) -> None:
    with Client(nginx, HOSTILE) as hostile, trickling(nginx, [unfinished("/webhook")] * DELIVERIES_AT_A_TIME):
        wait_until(lambda: hostile.deliver(payload()).status == 503, "the limit")
        refused = hostile.deliver(payload())

        assert (refused.headers["Retry-After"], refused.json()) == ("5", {"detail": "the service is not available"})
        assert hostile.get("/health/live").status == 200
        assert good.deliver(payload()).status == 200


def test_a_burst_of_a_provider_is_not_limited(nginx: Nginx) -> None:
    """400 deliveries at once are what comes in within an eighth of a second of ten busy WhatsApp numbers."""

    async def deliver() -> bytes:
        raw = to_bytes(payload())
        head = "".join(f"{name}: {text}\r\n" for name, text in signed(raw).items())
        reader, writer = await asyncio.open_connection("127.0.0.1", nginx.port, local_addr=(GOOD, 0))
        length = f"Host: localhost\r\nConnection: close\r\nContent-Length: {len(raw)}\r\n"
        writer.write(f"POST /webhook HTTP/1.1\r\n{head}{length}\r\n".encode() + raw)
        answer = await reader.read()
        writer.close()
        return answer[:13]

    async def burst() -> set[bytes]:
        return set(await asyncio.gather(*(deliver() for _ in range(400))))

    assert asyncio.run(burst()) == {b"HTTP/1.1 200 "}


def test_an_address_that_reads_too_much_is_told_so_and_still_delivers(nginx: Nginx, good: Client) -> None:
    with Client(nginx, HOSTILE) as reader, trickling(nginx, [unfinished("/messages")] * READS_AT_A_TIME):
        wait_until(lambda: reader.get("/health/live").status == 429, "the limit")
        refused = reader.get("/messages", {"X-Request-ID": "from-the-reader"})
        delivered = reader.deliver(payload())

        assert (refused.status, refused.json()) == (429, {"detail": "too many requests"})
        assert (refused.headers["Retry-After"], refused.headers["X-Request-ID"]) == ("1", "from-the-reader")
        assert delivered.status == 200
        assert good.get("/health/live").status == 200


@pytest.mark.parametrize(
    ("hostile", "same", "other"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("2001:db8:1:2::1", "2001:db8:1:2:a:b:c:d", "2001:db8:1:3::1"),
        ("2001:db8:5::1", "2001:db8:5::2", "2001:db8:6::1"),
    ],
)
def test_behind_another_proxy_limits_are_those_of_the_addresses_and_networks_it_names(
    attacked: Server, hostile: str, same: str, other: str
) -> None:
    names = f"X-Forwarded-For: 198.51.100.1, {hostile}\r\n"
    with (
        Nginx(attacked, trusted_proxies=2) as nginx,
        trickling(nginx, [unfinished("/messages", names)] * READS_AT_A_TIME),
        Client(nginx, HOSTILE) as proxy,
    ):

        def status(address: str) -> int:
            return proxy.get("/health/live", {"X-Forwarded-For": f"{hostile}, {address}"}).status

        wait_until(lambda: status(same) == 429, "the limit")
        assert status(other) == 200
