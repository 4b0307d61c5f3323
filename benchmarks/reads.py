"""What reads cost over HTTP: ``python benchmarks/reads.py --url sqlite:///data/benchmark.db``.

Starts the service on a database that ``fill.py`` has filled, asks each kind of question over one kept-alive connection,
and prints a table of percentiles; then reads the whole feed and an export over several.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import click
import orjson
import urllib3
from fill import ABSENT_WORD, COMMON_WORD, END, RARE_WORD, RECIPIENTS, YEAR

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
MIDDLE = END - YEAR / 2
WORKERS = 2
LIMIT = 100

FILTERS = {
    "no filter": {},
    "from": {"from": "+491500000001"},
    "to": {"to": RECIPIENTS[7]},
    "provider": {"provider": "twilio"},
    "absent provider": {"provider": "standard"},
    "since, until": {"since": MIDDLE.isoformat(), "until": (MIDDLE + timedelta(days=90)).isoformat()},
    "q common": {"q": COMMON_WORD},
    "q rare": {"q": RARE_WORD},
    "q absent": {"q": ABSENT_WORD},
}

Get = Callable[[str], bytes]


@contextmanager
def server(url: str) -> Iterator[tuple[Get, int]]:
    """The service on a free port: a way to ask it, and the process id of its arbiter."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    bind = f"127.0.0.1:{port}"
    settings = {"DATABASE_URL": url, "WEBHOOK_SECRET": "benchmark", "BIND": bind, "WEB_CONCURRENCY": str(WORKERS)}
    process = subprocess.Popen(
        [BIN / "gunicorn", "wsgi:app"], cwd=ROOT, env={**os.environ, **settings}, stdout=subprocess.DEVNULL
    )
    pool = urllib3.PoolManager(maxsize=8, retries=urllib3.Retry(20, backoff_factor=0.05), timeout=600)

    def get(path: str) -> bytes:
        answer = pool.request("GET", f"http://{bind}{path}")
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {answer.data!r}")
        return answer.data

    try:
        get("/health/live")
        yield get, process.pid
    finally:
        process.terminate()
        process.wait()


def questions(get: Get) -> Iterator[tuple[str, str]]:
    """The name and the path of each thing that is asked."""
    for name, wanted in FILTERS.items():
        for order in ("asc", "desc"):
            path = f"/messages?{urlencode({**wanted, 'order': order, 'limit': LIMIT})}"
            yield f"{name}, {order}, first", f"{path}&cursor=*"
            if cursor := deep_cursor(get, path):
                yield f"{name}, {order}, deep", f"{path}&cursor={cursor}"
    yield "stats", "/stats"
    year = urlencode({"interval": "day", "since": (END - YEAR).isoformat(), "until": END.isoformat()})
    yield "timeline, a year by day", f"/stats/timeline?{year}"
    yield "feed, 1,000 a call", "/feed?limit=1000"


def deep_cursor(get: Get, path: str) -> str | None:
    """The cursor of a page twenty pages on, if there are so many."""
    cursor: str | None = "*"
    for _ in range(20):
        cursor = orjson.loads(get(f"{path}&cursor={cursor}"))["next_cursor"]
        if cursor is None:
            return None
    return cursor


def measure(get: Get, path: str, times: int) -> list[float]:
    """Milliseconds that each of so many answers took, sorted."""
    latencies = []
    for _ in range(times):
        started = time.perf_counter()
        get(path)
        latencies.append((time.perf_counter() - started) * 1000)
    return sorted(latencies)


def percentile(ordered: list[float], percent: int) -> float:
    """The value that so many percent do not exceed (nearest rank)."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def read_feed(get: Get, most: int) -> int:
    """How many messages a consumer read, from the beginning, stopping after about so many."""
    after, number = "", 0
    while number < most:
        page = get(f"/feed?limit=1000&after={after}")
        count = page.count(b'"message_id":')
        after = page.rpartition(b'"next":"')[2].rstrip(b'"}').decode()
        number += count
        if not count:
            break
    return number


def memory(pid: int) -> float:
    """MiB that the process and its children hold."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(
        int(line.split()[1]) / 1024
        for each in (str(pid), *children)
        for line in Path(f"/proc/{each}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )


@click.command()
@click.option("--url", default="sqlite:///data/benchmark.db", show_default=True, help="Database that fill.py filled.")
@click.option("--times", default=200, show_default=True, type=click.IntRange(1), help="How often each thing is asked.")
@click.option("--most", default=200_000, show_default=True, help="Messages that each consumer of the feed reads.")
def main(url: str, times: int, most: int) -> None:
    """Print a table of what reads cost."""
    with server(url) as (get, pid):
        total = orjson.loads(get("/stats"))["total_messages"]
        print(f"{total:,} messages, {WORKERS} workers, {times} times each, milliseconds\n")
        print("| what | p50 | p99 |\n|---|---|---|")
        for name, path in questions(get):
            latencies = measure(get, path, times)
            print(f"| {name} | {percentile(latencies, 50):.1f} | {percentile(latencies, 99):.1f} |", flush=True)
        started = time.perf_counter()
        with ThreadPoolExecutor(2) as consumers:
            read = sum(consumers.map(lambda _: read_feed(get, most), range(2)))
        print(f"\nfeed, two consumers: {read / (time.perf_counter() - started):,.0f} messages a second")
        before, started = memory(pid), time.perf_counter()
        exported = get(f"/export?{urlencode({'until': (END - YEAR + YEAR * most / total).isoformat()})}").count(b"\n")
        rate = exported / (time.perf_counter() - started)
        print(f"export: {rate:,.0f} messages a second, {memory(pid) - before:+.1f} MiB in the service")


if __name__ == "__main__":
    main()
