"""Measures what readers cost ingest: ``python -m benchmarks.readers``.

Rounds alternate, since machines are noisy: without readers; with readers that wait at the feed of a source that sends
nothing; and with consumers, destinations and both, which are given every message. The programs that read, receive and
push have a core of their own, the last one, and the service and wrk have the others. So what is measured is what the
service does for readers, and waits for them, and not that their programs take processor time, too.

A low priority instead of a core would not do: a forwarder that has the turn to write and gets no processor time keeps
deliveries waiting.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from multiprocessing import Event, Process
from multiprocessing.synchronize import Event as Signal
from pathlib import Path
from urllib.parse import urlsplit

import click

from benchmarks.consumers import HEADERS, TOKEN, Client
from benchmarks.forwarding import SECRET, answer_requests
from benchmarks.load import Measured, median_of, need_wrk, write_deliveries, wrk
from benchmarks.postgresql import postgresql
from benchmarks.servers import BIN, ROOT, Server, free_port, migrate, server, settings_of

CONNECTIONS = 16
DELIVERIES = 60_000  # for each round, all of them new
CONSUMERS, DESTINATIONS = 5, 3
IDLE_SHARE = 0.1  # of a core, which the service takes at most to look for so many who wait
_CORES = sorted(os.sched_getaffinity(0))
NONE = "no readers"
WAITING = "readers that wait"
CONSUMING = f"{CONSUMERS} consumers"
PUSHING = f"{DESTINATIONS} destinations"
BOTH = "consumers and destinations"
KINDS = {"waiting": WAITING, "consumers": CONSUMING, "destinations": PUSHING, "both": BOTH}


@contextmanager
def waiting(served: Server, number: int) -> Iterator[None]:
    """Keeps readers at the feed of a source that sends nothing, in a process of their own."""
    ready = Event()
    process = Process(target=_wait, args=(urlsplit(served.url).netloc, number, ready), daemon=True)
    with _running([process]):
        if not ready.wait(60):
            raise RuntimeError("the readers don't find the end of the feed")
        _wait_until_idle(served)
        yield


def _wait_until_idle(served: Server) -> None:
    """Waits until the service has nothing more to do, since each reader waits."""
    spent = IDLE_SHARE
    while spent >= IDLE_SHARE:
        before = served.processor_seconds()
        time.sleep(1)
        spent = served.processor_seconds() - before


def _wait(address: str, number: int, ready: Signal) -> None:
    host, _, port = address.partition(":")
    authorization = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())

    async def read(after: str, wait: int) -> AsyncIterator[str]:
        reader, writer = await asyncio.open_connection(host, int(port))
        while True:
            target = f"/feed?source=quiet&wait={wait}&after={after}"
            writer.write(f"GET {target} HTTP/1.1\r\nHost: {address}\r\n{authorization}\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            body = await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            after = json.loads(body)["next"]
            yield after

    async def find_end() -> str:
        end = ""
        async for after in read("", 0):
            if after == end:
                break
            end = after
        return end

    async def follow(after: str) -> None:
        async for _ in read(after, 25):
            pass

    async def read_all() -> None:
        end = await find_end()
        readers = [asyncio.create_task(follow(end)) for _ in range(number)]
        await asyncio.sleep(1)  # in which they begin to ask
        ready.set()
        await asyncio.gather(*readers)

    asyncio.run(read_all())


@contextmanager
def consuming(url: str) -> Iterator[None]:
    """Runs consumers that get each message."""
    processes = [Process(target=_consume, args=(url, f"c{at}"), daemon=True) for at in range(CONSUMERS)]
    with _running(processes):
        time.sleep(1)  # until they wait
        yield


def _consume(url: str, name: str) -> None:
    client = Client(url, name)
    client.call("PUT", "", {"start": {"to": "now"}})
    while True:
        client.take(1000, wait=25)


@contextmanager
def pushing(database_url: str, folder: Path) -> Iterator[None]:
    """Runs a forwarder to destinations that get each message."""
    ports = [free_port() for _ in range(DESTINATIONS)]
    declared = [
        f'[destinations.d{port}]\nurl = "http://127.0.0.1:{port}/"\nsecrets = [{{env="SHOP_SECRET"}}]\n'
        'allowed_networks = ["127.0.0.0/8"]\nstart = "now"\n'
        for port in ports
    ]
    file = folder / "webhook-service.toml"
    file.write_text("".join(declared))
    environ = settings_of(database_url) | {"SHOP_SECRET": SECRET, "CONFIG_FILE": str(file)}
    command = [str(BIN / "webhook-service"), "forward"]
    with _running([Process(target=answer_requests, args=(port,), daemon=True) for port in ports]):
        with _on_core_of_readers():
            forwarder = subprocess.Popen(command, env=environ, cwd=ROOT, stderr=subprocess.DEVNULL)
        time.sleep(2)  # until it pushes
        yield
        forwarder.terminate()
        forwarder.wait()


@contextmanager
def consuming_and_pushing(url: str, database_url: str, folder: Path) -> Iterator[None]:
    """Runs consumers and a forwarder, all of which get each message."""
    with consuming(url), pushing(database_url, folder):
        yield


@contextmanager
def _running(processes: Sequence[Process]) -> Iterator[None]:
    with _on_core_of_readers():
        for process in processes:
            process.start()
    yield
    for process in processes:
        process.terminate()
        process.join()


@contextmanager
def _on_core_of_readers() -> Iterator[None]:
    """Has processes that are started meanwhile run on the last core."""
    others = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _CORES[-1:])
    yield
    os.sched_setaffinity(0, others)


@click.command()
@click.option("--database", "kind", type=click.Choice(["sqlite", "postgresql"]), default="sqlite", show_default=True)
@click.option("--waiting", "number", default=1000, show_default=True, help="Readers that wait.")
@click.option("--only", type=click.Choice(list(KINDS)), multiple=True, help="Readers to measure, instead of all.")
@click.option("--rounds", default=5, show_default=True, help="Of each kind.")
@click.option("--seconds", default=6.0, show_default=True, help="Of each round.")
def main(kind: str, number: int, only: Sequence[str], rounds: int, seconds: float) -> None:
    """Print the figures."""
    need_wrk()
    if len(_CORES) < 2:
        sys.exit("two cores are needed, one of them for the readers")
    os.sched_setaffinity(0, _CORES[:-1])
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        url = f"sqlite:///{folder / 'app.db'}"
        if kind == "postgresql":
            found = stack.enter_context(postgresql(folder / "postgresql"))
            if found is None:
                sys.exit("there is no PostgreSQL to start (apt-get install postgresql)")
            url = found
        migrate(url)
        served = stack.enter_context(server("wsgi:app", url, token=TOKEN))
        readers: Mapping[str, Callable[[], AbstractContextManager[None]]] = {
            WAITING: lambda: waiting(served, number),
            CONSUMING: lambda: consuming(served.url),
            PUSHING: lambda: pushing(url, folder),
            BOTH: lambda: consuming_and_pushing(served.url, url, folder),
        }
        asked = {KINDS[name]: readers[KINDS[name]] for name in only} or readers
        _report(_measure(served, folder, {NONE: nullcontext, **asked}, rounds, seconds))


def _measure(
    served: Server,
    folder: Path,
    readers: Mapping[str, Callable[[], AbstractContextManager[None]]],
    rounds: int,
    seconds: float,
) -> dict[str, list[Measured]]:
    runs: dict[str, list[Measured]] = {kind: [] for kind in readers}
    file, first = folder / "deliveries", 0
    for _ in range(rounds):
        for kind, begin in readers.items():
            write_deliveries(file, DELIVERIES, first=first)
            first += DELIVERIES
            with begin():
                runs[kind].append(wrk(served, file, connections=CONNECTIONS, seconds=seconds))
            found = runs[kind][-1]
            click.echo(f"{kind:28} {found.rate:7,.0f} a second, {found.processor:4.0f} µs, p99 {found.p99:.1f} ms")
    return runs


def _report(runs: Mapping[str, list[Measured]]) -> None:
    without = median_of(runs[NONE])
    for kind, each in runs.items():
        found = median_of(each)
        rate, processor = found.rate / without.rate, found.processor / without.processor
        # Readers that only took processor time would leave the service as busy with deliveries as it is without them.
        click.echo(
            f"With {kind}: {rate:.3f} of the rate, {processor:.3f} of the processor time a delivery, so"
            f" {rate * processor:.3f} of the rate with processor time apart; p99 {found.p99:.1f} ms,"
            f" {found.errors} errors."
        )


if __name__ == "__main__":
    main()
