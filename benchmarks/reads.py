"""Measures the cost of reads over HTTP, with few and with many messages stored.

    make bench-reads                                    every size on both databases, one or two hours
    make bench-reads BENCH='--messages 10000,100000 --databases sqlite'

Fills a database of each size, starts the service on it, asks each kind of question over one kept-alive connection, then
reads the feed and exports. Each result is written to a file as soon as it is there, so an interrupted run goes on where
it stopped. At the end all results make a table with the goals, and the plots docs/reads-sqlite.svg and
docs/reads-postgresql.svg. PostgreSQL needs its server programs, or a server's URL in BENCH_POSTGRES_URL.
"""

import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPResponse
from itertools import product
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import click
import psycopg
from psycopg import sql
from sqlalchemy import make_url

from benchmarks.fill import ABSENT_WORD, COMMON_WORD, END, RARE_WORD, RECIPIENTS, YEAR, fill, is_filled, sender
from benchmarks.postgresql import postgresql
from benchmarks.reads_report import PAGE, STATS, TIMELINE, Latency, Result, Results, draw, table
from benchmarks.servers import ROOT, Server, server
from webhook_service.domain.messages import Order, Position
from webhook_service.schemas.feed import FEED_CURSORS
from webhook_service.schemas.messages import load_message_query, message_cursors

APP = "wsgi:app"
LIMIT = 100  # messages on a page, the most that are allowed
MIDDLE = END - YEAR / 2
Measured = tuple[dict[str, Latency], dict[str, float]]

WARM_UP = 3  # times that a question is asked before it is measured
FEED_CONSUMERS, FEED_ROUNDS = 2, 3


@dataclass(frozen=True, slots=True)
class Question:
    """A request to be measured; those of one ``kind`` share a goal."""

    kind: str
    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Patience:
    """The number of times that each question is asked, and the most seconds that each measurement may take."""

    times: int
    seconds: float


class Client:
    """One kept-alive connection."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._connection = HTTPConnection(address.hostname or "", address.port, timeout=600)

    def close(self) -> None:
        """Closes the connection, whether or not all of the answer was read."""
        self._connection.close()

    def get(self, path: str) -> bytes:
        """Returns the whole answer."""
        return self.open(path).read()

    def open(self, path: str) -> HTTPResponse:
        """Returns an answer that is still to be read."""
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {answer.read()!r}")
        return answer


def questions(senders: int) -> Iterator[Question]:
    """Yields all questions to a database with so many senders."""
    filters = {
        "no filter": {},
        "from a common sender": {"from": sender(0)},
        "from a rare sender": {"from": sender(senders - 1)},
        "to": {"to": RECIPIENTS[7]},
        "provider": {"provider": "twilio"},
        "absent provider": {"provider": "standard"},
        "since, until": {"since": MIDDLE.isoformat(), "until": (MIDDLE + YEAR / 4).isoformat()},
    }
    for name, wanted in filters.items():
        yield from _pages(PAGE, name, wanted)
    for kind, word in {"q rare": RARE_WORD, "q common": COMMON_WORD, "q absent": ABSENT_WORD}.items():
        yield from _pages(kind, kind, {"q": word})
    yield Question(STATS, STATS, "/stats")
    year = urlencode({"interval": "day", "since": (END - YEAR).isoformat(), "until": END.isoformat()})
    yield Question(TIMELINE, "timeline, a year by day", f"/stats/timeline?{year}")


def _pages(kind: str, name: str, wanted: dict[str, str]) -> Iterator[Question]:
    for order in Order:
        query = urlencode({**wanted, "order": order, "limit": LIMIT})
        for place, cursor in {"first": "*", "deep": deep_cursor(query)}.items():
            yield Question(kind, f"{name}, {order}, {place}", f"/messages?{query}&cursor={cursor}")


def deep_cursor(query_string: str) -> str:
    """Returns the cursor of a place at nine tenths of the list of a query."""
    query = load_message_query(query_string.encode())
    since, until = query.filter.since or END - YEAR, query.filter.until or END
    tenth = (until - since) / 10
    place = until - tenth if query.order is Order.ASC else since + tenth
    return message_cursors(query.filter, query.order).write(Position(place, ""))


def measure(client: Client, path: str, patience: Patience) -> Latency:
    """Asks a question over and over, and measures the latency; the first few times don't count."""
    for _ in range(WARM_UP):
        client.get(path)
    milliseconds: list[float] = []
    while len(milliseconds) < patience.times and sum(milliseconds) < patience.seconds * 1000:
        started = time.perf_counter()
        client.get(path)
        milliseconds.append((time.perf_counter() - started) * 1000)
    return Latency.of(milliseconds)


def feed_rate(url: str, stored: int, patience: Patience) -> float:
    """Returns the messages a second that all readers read together, the first from the beginning, others from later on.

    It is the median of some rounds: each has connections of its own, and chance decides which workers they get.
    """
    starts = [stored * consumer // FEED_CONSUMERS for consumer in range(FEED_CONSUMERS)]
    rates = []
    for _ in range(FEED_ROUNDS):
        started = time.perf_counter()
        end = started + patience.seconds
        with ThreadPoolExecutor(FEED_CONSUMERS) as consumers:
            read = sum(consumers.map(partial(_consume, url, end), starts))
        rates.append(read / (time.perf_counter() - started))
    return statistics.median(rates)


def _consume(url: str, end: float, start: int) -> int:
    """Reads the feed from ``start``, over and over, until the time ``end``; returns how many messages were read."""
    read, beginning = 0, FEED_CURSORS.write(start)
    after = beginning
    with closing(Client(url)) as client:
        while time.perf_counter() < end:
            page = client.get(f"/feed?limit=1000&after={after}")
            number = page.count(b'"message_id":')
            after = page.rpartition(b'"next":"')[2].rstrip(b'"}\n').decode() if number else beginning
            read += number
    return read


def export_rate(running: Server, form: str, patience: Patience) -> tuple[float, float]:
    """Returns the messages a second of exports, the last one cut short, and the most megabytes that a worker grew."""
    for _ in range(10):  # so many connections that each worker gets some
        with closing(Client(running.url)) as client:
            client.get(f"/export?format={form}&since={END.isoformat()}")
    before, growth, lines = running.megabytes_by_worker(), 0.0, 0
    started = time.perf_counter()
    end = started + patience.seconds
    while time.perf_counter() < end:
        with closing(Client(running.url)) as client:
            answer = client.open(f"/export?format={form}")
            while (part := answer.read(2**20)) and time.perf_counter() < end:
                lines += part.count(b"\n")
                growth = max(growth, *(now - before[pid] for pid, now in running.megabytes_by_worker().items()))
    return lines / (time.perf_counter() - started), growth


def measure_all(
    url: str, messages: int, senders: int, patience: Patience
) -> tuple[dict[str, Latency], dict[str, float]]:
    """Returns every latency by the kind and name of its question, and the other figures by name."""
    latencies: dict[str, Latency] = {}
    figures: dict[str, float] = {}
    with server(APP, url) as running, closing(Client(running.url)) as client:
        for question in questions(senders):
            found = latencies[f"{question.kind}: {question.name}"] = measure(client, question.path, patience)
            click.echo(f"  {question.name:36} p50 {found.p50:8.1f}  p99 {found.p99:8.1f} ms", err=True)
        figures["feed"] = feed_rate(running.url, messages, patience)
    for form in ("ndjson", "csv"):
        with server(APP, url) as running:
            figures[f"export {form}"], figures[f"growth {form}"] = export_rate(running, form, patience)
    for name, figure in figures.items():
        click.echo(f"  {name:36} {figure:12,.1f}", err=True)
    return latencies, figures


class Databases:
    """Provides the databases of one kind; with ``keep``, they are kept once they are measured."""

    def __init__(self, kind: str, folder: Path, server_url: str | None, *, keep: bool) -> None:
        self.kind = kind
        self._folder = folder
        self._server_url = server_url
        self._keep = keep

    @contextmanager
    def filled(self, messages: int, senders: int) -> Iterator[str]:
        """Gives the URL of a database with so many messages: one that was kept, or a new one."""
        name = f"reads_{messages}_{senders}"
        url = self._find_or_make(name)
        try:
            if not is_filled(url):
                fill(url, messages, senders)
            yield url
        finally:
            if not self._keep:
                self._remove(name)

    def _find_or_make(self, name: str) -> str:
        if self._server_url is None:
            return f"sqlite:///{self._folder / name}.db"
        with self._administration() as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                statement = "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'"
                connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
        return make_url(self._server_url).set(database=name).render_as_string(hide_password=False)

    def _remove(self, name: str) -> None:
        if self._server_url is None:
            for file in self._folder.glob(f"{name}.db*"):
                file.unlink()
        else:
            with self._administration() as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _administration(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self._server_url or "", autocommit=True)


@contextmanager
def databases(kind: str, folder: Path, *, keep: bool) -> Iterator[Databases | None]:
    """Gives the databases of a kind; None where there is no PostgreSQL."""
    if kind == "sqlite":
        yield Databases(kind, folder, None, keep=keep)
        return
    with postgresql(folder / "postgresql") as url:
        yield None if url is None else Databases(kind, folder, url, keep=keep)


def measure_missing(made: Databases, sizes: Iterable[tuple[int, int]], results: Results, patience: Patience) -> None:
    """Measures each number of messages and senders for which there is no result yet."""
    for messages, senders in sizes:
        if results.has(made.kind, messages, senders):
            continue
        click.echo(f"{made.kind}, {messages:,} messages, {senders:,} senders", err=True)
        started = time.monotonic()
        with made.filled(messages, senders) as url:
            click.echo(f"  filled in {time.monotonic() - started:.0f} s", err=True)
            latencies, figures = measure_all(url, messages, senders, patience)
        results.add(Result(made.kind, messages, senders, latencies, figures))


def _numbers(_context: click.Context, _parameter: click.Parameter, value: str) -> list[int]:
    try:
        return [int(number) for number in value.split(",")]
    except ValueError:
        raise click.BadParameter("must be numbers with commas between them") from None


def _kinds(_context: click.Context, _parameter: click.Parameter, value: str) -> list[str]:
    kinds = value.split(",")
    if not set(kinds) <= {"sqlite", "postgresql"}:
        raise click.BadParameter("must be sqlite, postgresql or both with a comma between them")
    return kinds


@click.command()
@click.option("--messages", default="10000,100000,1000000,10000000", show_default=True, callback=_numbers)
@click.option("--senders", default="2000,200000", show_default=True, callback=_numbers)
@click.option("--databases", "kinds", default="sqlite,postgresql", show_default=True, callback=_kinds)
@click.option("--times", default=200, show_default=True, type=click.IntRange(1), help="How often each thing is asked.")
@click.option("--seconds", default=5.0, show_default=True, help="How long each thing is measured at most.")
@click.option(
    "--results",
    "file",
    default=Path("data/reads.json"),
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where results are written; what is in there is not measured again.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder for the databases, to be used again; else each is removed once it is measured.",
)
def main(
    messages: list[int], senders: list[int], kinds: list[str], times: int, seconds: float, file: Path, keep: Path | None
) -> None:
    """Measure what is not measured yet, print a table of all results and draw them."""
    results = Results.read(file)
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="webhook_service-reads-")))
        folder.mkdir(parents=True, exist_ok=True)
        for kind in kinds:
            with databases(kind, folder.absolute(), keep=keep is not None) as made:
                if made is None:
                    click.echo("PostgreSQL: left out, there is no server to start", err=True)
                else:
                    measure_missing(made, product(messages, senders), results, Patience(times, seconds))
    print(table(results))
    draw(results, ROOT / "docs")


if __name__ == "__main__":
    main()
