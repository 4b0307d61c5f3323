"""Measures what a messaging provider asks of a webhook, in an open model with bursts.

    make bench BENCH=profile                          an hour on SQLite
    make bench BENCH='profile --minutes 5 --numbers 10 --database postgresql'

360dialog asks for a median of at most 250 ms, and for less than one answer in a hundred over a second, at three times
the rate of outgoing messages and once that of incoming ones:
https://docs.360dialog.com/partner/messaging/receiving-messages-via-webhook

A number sends 80 messages a second here: each comes back as three receipts, and there is a message from a customer for
each. Deliveries are due at random moments, hold several items each, and come three times as often for a second of every
ten. They are sent when they are due, whatever the answers to earlier ones, and the time to an answer counts from then.
Those of a burst are made before it, since a provider does not take the processor time of the machine that it sends to.

Items are dated 55 minutes back, and ``prune --older-than 1h`` runs about once a minute, so that from the sixth minute
on as much is deleted as is stored. The pauses between its runs differ, or each run would meet the same burst.
"""

import argparse
import json
import random
import select
import selectors
import socket
import subprocess
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import click

from benchmarks.postgresql import postgresql
from benchmarks.servers import BIN, SECRET, Server, migrate, server, settings_of
from webhook_service.providers.whatsapp import OBJECT, SIGNATURE_HEADER, sign

MESSAGES_A_SECOND = 80  # that a number sends, and as many that it gets
RECEIPTS = ("sent", "delivered", "read")  # of each message that was sent
ITEMS = 8  # of a delivery, at the mean
BURST_EVERY, BURST_LENGTH, BURST_FACTOR = 10.0, 1.0, 3.0  # seconds, seconds, times the rate
AGE = 55 * 60  # seconds that items are dated back
PRUNE_AFTER = 45, 65  # seconds after the last time
MOST_CONNECTIONS = 256
MADE_AHEAD = 1_500  # deliveries that are made in quiet moments: those of a burst, and some more
QUIET = 0.001  # seconds until the next delivery is due, in which one can be made
VERIFY_TOKEN = "benchmark-token"

_random = random.Random(360)


@dataclass(slots=True)
class Minute:
    """The answers of a minute: their latencies in seconds, and how many there were of each status."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True)
class Exchange:
    """A delivery on its connection: when it was due, and what of its answer has arrived."""

    due: float
    received: bytes = b""


class OpenLoad:
    """Sends deliveries when they are due, on as many connections as are busy at once."""

    def __init__(self, url: str, numbers: int) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 0)
        self._numbers = numbers
        self._selector = selectors.DefaultSelector()
        self._idle: list[socket.socket] = []
        self._made: deque[bytes] = deque()  # requests that nobody has sent yet
        self._late: deque[float] = deque()  # moments at which deliveries were due that have no connection yet
        self._connections = 0
        self._sent = 0

    def run(self, seconds: float) -> Minute:
        """Sends for so many seconds, and waits for what is under way."""
        minute = Minute()
        begun = time.monotonic()
        moments = _moments(begun, seconds, self._numbers)
        due = next(moments, None)
        while due is not None or self._selector.get_map() or self._late:
            now = time.monotonic()
            while due is not None and due <= now:
                self._late.append(due)
                due = next(moments, None)
            while self._late and (self._idle or self._connections < MOST_CONNECTIONS):
                self._send(self._late.popleft())
            timeout = 1.0 if due is None else max(0.0, due - time.monotonic())
            if timeout > QUIET and len(self._made) < MADE_AHEAD:
                self._made.append(self._request())
                timeout = 0.0
            for key, _ in self._selector.select(timeout):
                self._receive(key, minute)
        return minute

    def _send(self, due: float) -> None:
        connection = self._take_idle()
        if connection is None:
            connection = socket.create_connection(self._address)
            self._connections += 1
        connection.sendall(self._made.popleft() if self._made else self._request())
        self._selector.register(connection, selectors.EVENT_READ, Exchange(due))

    def _take_idle(self) -> socket.socket | None:
        """Returns a connection that the server has not closed yet, as a client has to look before it sends."""
        while self._idle:
            connection = self._idle.pop()
            if not select.select([connection], [], [], 0)[0]:
                return connection
            connection.close()
            self._connections -= 1
        return None

    def _receive(self, key: selectors.SelectorKey, minute: Minute) -> None:
        connection: Any = key.fileobj
        exchange: Exchange = key.data
        part = connection.recv(65536)
        exchange.received += part
        head, end, body = exchange.received.partition(b"\r\n\r\n")
        if part and (not end or len(body) < _length(head)):
            return
        self._selector.unregister(connection)
        minute.latencies.append(time.monotonic() - exchange.due)
        minute.statuses[int(head.split(None, 2)[1]) if head else 0] += 1
        if part and b"connection: close" not in head.lower():
            self._idle.append(connection)
        else:
            connection.close()
            self._connections -= 1

    def _request(self) -> bytes:
        body = self._body()
        head = (
            "POST /webhook/whatsapp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"{SIGNATURE_HEADER}: sha256={sign(SECRET, body).hex()}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def _body(self) -> bytes:
        number = _random.randrange(self._numbers)
        at = str(int(time.time()) - AGE)
        messages: list[dict[str, Any]] = []
        statuses: list[dict[str, Any]] = []
        for _ in range(_random.randint(1, 2 * ITEMS - 1)):
            self._sent += 1
            customer = f"49151{_random.randrange(100_000):07d}"
            if _random.randrange(1 + len(RECEIPTS)):
                status = _random.choice(RECEIPTS)
                sent = {"id": f"wamid.out.{self._sent}", "status": status, "timestamp": at, "recipient_id": customer}
                statuses.append(sent)
            else:
                text = {"type": "text", "text": {"body": f"Is order {self._sent} on its way?"}}
                messages.append({"id": f"wamid.in.{self._sent}", "from": customer, "timestamp": at, **text})
        metadata = {"display_phone_number": f"49309{number:04d}", "phone_number_id": f"1063{number:04d}"}
        value = {"messaging_product": "whatsapp", "metadata": metadata, "messages": messages, "statuses": statuses}
        change = {"field": "messages", "value": value}
        return json.dumps({"object": OBJECT, "entry": [{"id": "1", "changes": [change]}]}).encode()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _moments(begun: float, seconds: float, numbers: int) -> Iterator[float]:
    """Yields the moments at which deliveries are due: independent of each other, and more of them in a burst."""
    items = numbers * MESSAGES_A_SECOND * (len(RECEIPTS) + 1)
    in_a_cycle = BURST_EVERY - BURST_LENGTH + BURST_LENGTH * BURST_FACTOR
    rate = items / ITEMS * BURST_EVERY / in_a_cycle
    passed = 0.0
    while True:
        is_burst = passed % BURST_EVERY < BURST_LENGTH
        passed += _random.expovariate(rate * BURST_FACTOR if is_burst else rate)
        if passed >= seconds:
            return
        yield begun + passed


def main() -> None:
    """Loads the service minute by minute, and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--numbers", type=int, default=10)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="webhook_service-bench-")))
        in_file = f"sqlite:///{folder / 'app.db'}"
        url = in_file if options.database == "sqlite" else stack.enter_context(postgresql(folder))
        if url is None:
            parser.error("PostgreSQL's server programs are needed: apt-get install postgresql")
        migrate(url)
        more = {"WHATSAPP_APP_SECRET": SECRET, "WHATSAPP_VERIFY_TOKEN": VERIFY_TOKEN}
        service = stack.enter_context(server("wsgi:app", url, more=more))
        with _pruning(url):
            _measure(service, folder, options.minutes, options.numbers)


@contextmanager
def _pruning(url: str) -> Iterator[None]:
    """Deletes what is old again and again while the block runs."""
    has_ended = Event()
    command = [str(BIN / "webhook-service"), "prune", "--older-than", "1h"]

    def prune() -> None:
        while not has_ended.wait(_random.uniform(*PRUNE_AFTER)):
            subprocess.run(command, env=settings_of(url), capture_output=True, check=True)

    with ThreadPoolExecutor() as threads:
        pruned = threads.submit(prune)
        try:
            yield
        finally:
            has_ended.set()
            pruned.result()


def _measure(service: Server, folder: Path, minutes: int, numbers: int) -> None:
    load = OpenLoad(service.url, numbers)
    whole = Minute()
    for number in range(1, minutes + 1):
        spent = service.processor_seconds()
        minute = load.run(60)
        spent = service.processor_seconds() - spent
        whole.latencies += minute.latencies
        whole.statuses += minute.statuses
        disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20
        click.echo(
            f"minute {number:3}: {_described(minute)}; {spent / len(minute.latencies) * 1e6:5.0f} µs of processor"
            f" each; workers {service.worker_megabytes():5.1f} MB, disk {disk:6.0f} MB"
        )
    click.echo(f"whole:      {_described(whole)}")


def _described(minute: Minute) -> str:
    in_order = sorted(minute.latencies)
    at = {share: in_order[int(len(in_order) * share)] * 1000 for share in (0.5, 0.99)}
    over = sum(latency > 1 for latency in in_order) / len(in_order)
    statuses = ", ".join(f"{number:,} answers of {status}" for status, number in sorted(minute.statuses.items()))
    return (
        f"p50 {at[0.5]:5.1f} ms, p99 {at[0.99]:6.1f} ms, most {in_order[-1] * 1000:6.1f} ms,"
        f" {over:.3%} over 1 s; {statuses}"
    )


if __name__ == "__main__":
    main()
