"""Measures how fast consumers take messages: ``python -m benchmarks.consumers --messages 100000``.

Leases and acknowledges all stored messages, a thousand at a time with one worker and with four, and then some one at a
time. Clients read every byte, but parse only the name of the lease: what they do with messages is not measured.
"""

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import click

from benchmarks.postgresql import postgresql
from benchmarks.servers import Server, server

ONE_BY_ONE = 500  # leases of one message
TOKEN = "token"  # without a token, the peer of each request is looked up in the kernel's tables
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


class Client:
    """One worker of a consumer, on a connection that is kept alive."""

    def __init__(self, url: str, name: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._path = f"/consumers/{name}"

    def call(self, method: str, action: str, body: object = None) -> tuple[int, bytes]:
        """Makes a call; returns the status and the bytes of the answer."""
        self._connection.request(method, self._path + action, None if body is None else json.dumps(body), HEADERS)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def take(self, limit: int, wait: int = 0) -> int:
        """Leases and acknowledges messages; returns the number of their bytes, 0 when none came in ``wait`` seconds."""
        status, content = self.call("POST", f"/lease?limit={limit}&seconds=600&wait={wait}")
        if status == http.client.NO_CONTENT:
            return 0
        token = content.split(b'"', 4)[3].decode()
        acknowledged, _ = self.call("POST", "/ack", {"lease": token})
        if (status, acknowledged) != (http.client.OK, http.client.NO_CONTENT):
            raise RuntimeError(f"{status} and {acknowledged}")
        return len(content)


def take_all(url: str, name: str) -> int:
    """Takes messages by the thousand until none are left; returns the number of leases."""
    client, leases = Client(url, name), 0
    while client.take(1000):
        leases += 1
    return leases


def measure(served: Server, messages: int, workers: int) -> str:
    """Measures workers that share one consumer; returns a line about it."""
    name = f"of-{workers}"
    Client(served.url, name).call("PUT", "", {"max_leases": workers})
    processor, began = served.processor_seconds(), time.perf_counter()
    with ProcessPoolExecutor(workers) as pool:
        leases = sum(pool.map(take_all, [served.url] * workers, [name] * workers))
    seconds = time.perf_counter() - began
    used = served.processor_seconds() - processor
    return (
        f"{workers} workers, {leases} leases of 1,000: {messages / seconds:9,.0f} messages/s,"
        f" {used / leases * 1000:6.2f} ms of processor time a lease"
    )


def measure_one_by_one(served: Server) -> str:
    """Measures leases of one message; returns a line about it."""
    client = Client(served.url, "one")
    client.call("PUT", "")
    taken = []
    for _ in range(ONE_BY_ONE):
        began = time.perf_counter()
        client.take(1)
        taken.append((time.perf_counter() - began) * 1000)
    lowest, p50, p99 = min(taken), statistics.median(taken), statistics.quantiles(taken, n=100)[98]
    return f"lease and ack of 1: least {lowest:.2f}, p50 {p50:.2f}, p99 {p99:.2f} ms"


@contextmanager
def database(kind: str, folder: Path, messages: int) -> Iterator[str | None]:
    """Gives the URL of a database with messages; None when there is no server of this kind."""
    if kind == "sqlite":
        url = f"sqlite:///{folder / 'app.db'}"
        fill(url, messages)
        yield url
        return
    with postgresql(folder / "postgresql") as found:
        if found is not None:
            fill(found, messages)
        yield found


def fill(url: str, messages: int) -> None:
    """Stores messages in a new database."""
    command = [sys.executable, "-m", "benchmarks.fill", "--url", url, "--messages", str(messages)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@click.command()
@click.option("--messages", default=100_000, show_default=True)
@click.option("--databases", default="sqlite,postgresql", show_default=True)
def main(messages: int, databases: str) -> None:
    """Measures each database."""
    for kind in databases.split(","):
        with tempfile.TemporaryDirectory(prefix="consumers-") as folder, database(kind, Path(folder), messages) as url:
            if url is None:
                click.echo(f"{kind}: not installed")
                continue
            with server("wsgi:app", url, token=TOKEN) as served:
                for workers in (1, 4):
                    click.echo(f"{kind}: {measure(served, messages, workers)}")
                click.echo(f"{kind}: {measure_one_by_one(served)}")


if __name__ == "__main__":
    main()
