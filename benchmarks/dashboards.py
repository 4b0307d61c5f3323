"""Measures what open dashboards cost ingest, and how soon the dashboard answers: ``python -m benchmarks.dashboards``.

Each dashboard asks as its script does whether there is anything new: the answer is held back until there is, the next
question comes 750 ms after the last at the soonest, and 5 seconds after an answer while more messages come than anyone
could read. Rounds with and without dashboards alternate, since machines are noisy.
"""

import json
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import click

from benchmarks.load import Measured, median_of, need_wrk, write_deliveries, wrk
from benchmarks.servers import Server, migrate, server

EVERY, EVERY_IN_A_FLOOD, LONGEST_WAIT = 0.75, 5.0, 25  # seconds, as in dashboard.js
CONNECTIONS = 16
DELIVERIES = 40_000  # for each round, all of them new
TOKEN = "token"  # without a token, the peer of each request is looked up in the kernel's tables
PAGES = (
    *("messages", "messages?provider=whatsapp", "messages?from=%2B491510000001", "messages?q=hello"),
    *("messages?q=zeppelin", "messages?type=image", "messages?since=2025-06-01T00:00&until=2025-06-02T00:00"),
    *("overview", "overview?interval=hour", "setup", "quarantine"),
)


@click.command()
@click.option("--open", "number", default=10, show_default=True, help="Dashboards.")
@click.option("--rounds", default=5, show_default=True, help="With dashboards, and as many without.")
@click.option("--seconds", default=6.0, show_default=True, help="Of each round.")
@click.option("--pages-of", help="URL of a filled database, to measure how soon each page is answered instead.")
def main(number: int, rounds: int, seconds: float, pages_of: str | None) -> None:
    """Print the figures."""
    if pages_of:
        _measure_pages(pages_of)
        return
    need_wrk()
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"deliveries-{at}" for at in range(2 * rounds + 1)]
        for at, file in enumerate(files):
            write_deliveries(file, DELIVERIES, first=at * DELIVERIES)
        url = f"sqlite:///{Path(folder) / 'app.db'}"
        migrate(url)
        with server("wsgi:app", url, token=TOKEN) as service:
            _compare(service, files, number, seconds)


def _compare(service: Server, files: list[Path], number: int, seconds: float) -> None:
    runs: dict[int, list[Measured]] = {0: [], number: []}
    wrk(service, files[0], connections=CONNECTIONS, seconds=seconds)
    for file, open_ in zip(files[1:], cycle(runs), strict=False):
        with _dashboards(service.url, open_):
            runs[open_].append(wrk(service, file, connections=CONNECTIONS, seconds=seconds))
    without, with_ = (median_of(each) for each in runs.values())
    for open_, each in ((0, without), (number, with_)):
        click.echo(f"{open_:3} open: {each.rate:,.0f} a second, {each.processor:.0f} µs each, p99 {each.p99:.1f} ms")
    rate, processor = with_.rate / without.rate, with_.processor / without.processor
    click.echo(f"With {number} open: {rate:.3f} of the rate and {processor:.3f} of the processor time of none.")


@contextmanager
def _dashboards(url: str, number: int) -> Iterator[None]:
    """Opens dashboards, and closes them at the end."""
    closed = threading.Event()
    threads = [threading.Thread(target=_follow, args=(url, closed)) for _ in range(number)]
    for thread in threads:
        thread.start()
    yield
    closed.set()
    for thread in threads:
        thread.join()


def _follow(url: str, closed: threading.Event) -> None:
    after, wait = "", 0
    while not closed.is_set():
        asked = time.monotonic()
        with urllib.request.urlopen(_request(f"{url}/dashboard/live?after={after}&wait={wait}"), timeout=30) as answer:
            told = json.load(answer) if answer.status == 200 else None
        after, wait = told["after"] if told else after, LONGEST_WAIT
        is_flood = told is not None and told["may_be_more"]
        closed.wait(EVERY_IN_A_FLOOD if is_flood else max(0.0, EVERY - (time.monotonic() - asked)))


def _measure_pages(database_url: str) -> None:
    with server("wsgi:app", database_url, workers=1, token=TOKEN) as service:
        for page in PAGES:
            times = [_seconds(f"{service.url}/dashboard/{page}") for _ in range(7)]
            click.echo(f"{page:60} median {statistics.median(times) * 1000:6.1f} ms, first {times[0] * 1000:6.1f} ms")


def _seconds(url: str) -> float:
    begun = time.perf_counter()
    with urllib.request.urlopen(_request(url), timeout=60) as answer:
        answer.read()
    return time.perf_counter() - begun


def _request(url: str) -> urllib.request.Request:
    return urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})


if __name__ == "__main__":
    main()
