"""What ingest does a second, as ratios to a view that stores nothing, on the same gunicorn settings in the same run.

    make bench                      every figure, about half an hour
    make bench BENCH='--quick'      the same with short rounds and small databases, about 4 minutes

Needs wrk (`apt-get install wrk`), and for PostgreSQL its server programs (`apt-get install postgresql`) or the URL of a
server in BENCH_POSTGRES_URL. Rounds alternate between what is compared, since machines are noisy; figures are medians.
The plot goes to docs/throughput.svg.
"""

import argparse
import shutil
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
import psycopg
from sqlalchemy import make_url

from benchmarks.fill import fill
from benchmarks.load import ROOT, Measured, Server, migrate, server, write_deliveries, wrk
from benchmarks.plot import Chart, Line, write_plot
from benchmarks.postgresql import postgresql

BASELINE, SERVICE, ALONE, STORE_ONLY = "baseline:app", "wsgi:app", "insert_per_request:app", "store_only:app"
CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass
class Bench:
    """How long and how often, and what was found."""

    folder: Path
    rounds: int
    seconds: float
    stored: int
    deliveries: int
    results: list[tuple[str, str, str, bool]] = field(default_factory=list)
    _files: int = 0
    _written: int = 0

    def new_sqlite(self) -> str:
        """A database that is not there yet."""
        self._files += 1
        return f"sqlite:///{self.folder / f'{self._files}.db'}"

    def fresh_sqlite(self) -> str:
        """A new migrated database."""
        url = self.new_sqlite()
        migrate(url)
        return url

    def fresh_deliveries(self, count: int) -> Path:
        """A file of deliveries that no earlier file holds."""
        self._files += 1
        path = self.folder / f"deliveries-{self._files}"
        write_deliveries(path, count, first=self._written)
        self._written += count
        return path

    def report(self, what: str, found: str, wanted: str, *, reached: bool) -> None:
        """A line of the table."""
        self.results.append((what, found, wanted, reached))
        click.echo(f"{what:58} {found:30} {wanted:14} {'reached' if reached else 'NOT REACHED'}", err=True)

    def alternate(self, servers: dict[str, Server], *, connections: int, seconds: float = 0) -> dict[str, Measured]:
        """The medians of alternating rounds of distinct deliveries."""
        seconds = seconds or self.seconds
        runs: dict[str, list[Measured]] = {name: [] for name in servers}
        for round_ in range(self.rounds):
            deliveries = self.fresh_deliveries(int(7000 * seconds))
            # Whoever comes first in a round is another one in the next.
            names = list(servers)[round_ % len(servers) :] + list(servers)[: round_ % len(servers)]
            for name in names:
                runs[name].append(wrk(servers[name].url, deliveries, connections=connections, seconds=seconds))
            deliveries.unlink()
        return {name: median_of(measured) for name, measured in runs.items()}


def median_of(runs: list[Measured]) -> Measured:
    """The median of each figure."""
    return Measured(
        rate=statistics.median(run.rate for run in runs),
        p50=statistics.median(run.p50 for run in runs),
        p99=statistics.median(run.p99 for run in runs),
        requests=sum(run.requests for run in runs),
        errors=sum(run.errors for run in runs),
    )


@contextmanager
def serving(**databases: tuple[str, str]) -> Iterator[dict[str, Server]]:
    """Servers by name, each an application on a database."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(server(app, url)) for name, (app, url) in databases.items()}


def on_sqlite(bench: Bench) -> None:
    """Distinct deliveries at several numbers of connections, against the view and against insert-per-request."""
    apps = {"view": BASELINE, "service": SERVICE, "alone": ALONE}
    threaded = server(BASELINE, bench.fresh_sqlite(), worker_class="gthread")
    with serving(**{name: (app, bench.fresh_sqlite()) for name, app in apps.items()}) as servers, threaded as view:
        servers["threaded"] = view
        at16 = bench.alternate(servers, connections=16)
        at64 = bench.alternate({"service": servers["service"]}, connections=64)
        lonely = bench.alternate({name: servers[name] for name in ("service", "alone")}, connections=1)
    _ratio(bench, "SQLite, 16 connections, rate / the view's", at16["service"].rate, at16["view"].rate, least=0.60)
    _ratio(bench, "SQLite, 16 connections, p99 / the view's", at16["service"].p99, at16["view"].p99, most=2.0)
    _ratio(
        bench,
        "SQLite, 16 connections, rate / the view's on gthread",
        at16["service"].rate,
        at16["threaded"].rate,
        least=0.60,
    )
    _ratio(
        bench,
        "SQLite, 16 connections, p99 / the view's on gthread",
        at16["service"].p99,
        at16["threaded"].p99,
        most=2.0,
    )
    _ratio(bench, "SQLite, rate at 64 connections / at 16", at64["service"].rate, at16["service"].rate, least=0.9)
    _ratio(bench, "SQLite, rate / insert-per-request's", at16["service"].rate, at16["alone"].rate, least=2.5)
    _ratio(
        bench, "SQLite, 1 connection, p50 / insert-per-request's", lonely["service"].p50, lonely["alone"].p50, most=1.3
    )


def storing_alone(bench: Bench) -> None:
    """How near to the view a service comes that stores each message as this one does, and does nothing else."""
    apps = {"view": BASELINE, "store only": STORE_ONLY}
    with serving(**{name: (app, bench.fresh_sqlite()) for name, app in apps.items()}) as servers:
        found = bench.alternate(servers, connections=16)
    alone, view = found["store only"], found["view"]
    _ratio(bench, "SQLite, storing and nothing else, rate / the view's", alone.rate, view.rate, least=0.60)
    _ratio(bench, "SQLite, storing and nothing else, p99 / the view's", alone.p99, view.p99, most=2.0)


def on_postgresql(bench: Bench) -> None:
    """The same against the view on PostgreSQL, which shares the cores."""
    with postgresql(bench.folder / "postgresql") as url:
        if url is None:
            click.echo("PostgreSQL: left out, there is no server to start", err=True)
            return
        migrate(url)
        threaded = server(BASELINE, bench.fresh_sqlite(), worker_class="gthread")
        with serving(view=(BASELINE, bench.fresh_sqlite()), service=(SERVICE, url)) as servers, threaded as view:
            servers["threaded"] = view
            found = bench.alternate(servers, connections=16)
    rate = found["service"].rate
    _ratio(bench, "PostgreSQL, 16 connections, rate / the view's", rate, found["view"].rate, least=0.40)
    _ratio(bench, "PostgreSQL, 16 connections, rate / the view's on gthread", rate, found["threaded"].rate, least=0.40)


def duplicates(bench: Bench) -> None:
    """Every delivery sent again."""
    with serving(new=(SERVICE, bench.fresh_sqlite()), again=(SERVICE, bench.fresh_sqlite())) as servers:
        rates: dict[str, list[float]] = {"new": [], "again": []}
        for _ in range(bench.rounds):
            known, unknown = bench.fresh_deliveries(2000), bench.fresh_deliveries(int(7000 * bench.seconds))
            wrk(servers["again"].url, known, connections=16, seconds=3)
            rates["new"].append(wrk(servers["new"].url, unknown, connections=16, seconds=bench.seconds).rate)
            rates["again"].append(wrk(servers["again"].url, known, connections=16, seconds=bench.seconds).rate)
    new, again = (statistics.median(rates[name]) for name in ("new", "again"))
    _ratio(bench, "SQLite, duplicates only, rate / that of new ones", again, new, least=1.0)


def on_a_full_database(bench: Bench) -> None:
    """The rate with many messages already stored."""
    full = bench.new_sqlite()
    fill(full, bench.stored, senders=2000)
    with serving(empty=(SERVICE, bench.fresh_sqlite()), full=(SERVICE, full)) as servers:
        found = bench.alternate(servers, connections=16)
    what = f"SQLite, rate with {bench.stored:,} messages stored / empty"
    _ratio(bench, what, found["full"].rate, found["empty"].rate, least=0.8)


def what_reads_cost_ingest(bench: Bench) -> None:
    """The rate with counts and the search index, against that of a database from which both were taken out."""
    bare = bench.fresh_sqlite()
    with closing(sqlite3.connect(make_url(bare).database or "")) as file:
        for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            file.execute(f"DROP TRIGGER {name}")
    with serving(full=(SERVICE, bench.fresh_sqlite()), bare=(SERVICE, bare)) as servers:
        found = bench.alternate(servers, connections=16)
    what = "SQLite, rate with counts and search / without"
    _ratio(bench, what, found["full"].rate, found["bare"].rate, least=0.85)
    with postgresql(bench.folder / "postgresql-bare") as url:
        if url is None:
            return
        migrate(url)
        bare = make_url(url).set(database="bare").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as server:
            server.execute("CREATE DATABASE bare TEMPLATE postgres")
        with psycopg.connect(bare, autocommit=True) as server:
            server.execute("DROP FUNCTION count_messages CASCADE")
            server.execute("DROP INDEX ix_messages_text_folded_trigrams")
        with serving(full=(SERVICE, url), bare=(SERVICE, bare)) as servers:
            found = bench.alternate(servers, connections=16)
    what = "PostgreSQL, rate with counts and search / without"
    _ratio(bench, what, found["full"].rate, found["bare"].rate, least=0.85)


def memory(bench: Bench) -> None:
    """What a worker's memory comes to, and whether it still grows in the second half."""
    megabytes: list[float] = []
    with serving(service=(SERVICE, bench.fresh_sqlite())) as servers, _bar("Delivering", bench.deliveries) as bar:
        sent = 0
        while sent < bench.deliveries:
            deliveries = bench.fresh_deliveries(30_000)
            measured = wrk(servers["service"].url, deliveries, connections=16, seconds=5)
            deliveries.unlink()
            sent += measured.requests
            megabytes.append(servers["service"].worker_megabytes())
            bar.update(measured.requests)
    growth = megabytes[-1] - megabytes[len(megabytes) // 2]
    what = f"memory of a worker after {sent:,} deliveries"
    found = f"{megabytes[-1]:.0f} MB, {growth:+.1f} in the last half"
    bench.report(what, found, "<= 100 MB, flat", reached=megabytes[-1] <= 100 and growth <= 2)


def over_connections(bench: Bench) -> None:
    """The plot: rate and p99 over the number of connections."""
    found: dict[str, list[Measured]] = {"view": [], "service": []}
    with serving(view=(BASELINE, bench.fresh_sqlite()), service=(SERVICE, bench.fresh_sqlite())) as servers:
        for connections in CONNECTIONS:
            for name, measured in bench.alternate(servers, connections=connections, seconds=bench.seconds / 2).items():
                found[name].append(measured)
    names = {"service": "the service on SQLite, every delivery synced", "view": "a view that stores nothing"}
    write_plot(
        ROOT / "docs" / "throughput.svg",
        [
            Chart(title, "connections", [_line(names[name], runs, figure) for name, runs in found.items()])
            for title, figure in (("deliveries a second", "rate"), ("p99 in ms", "p99"))
        ],
    )


def _line(name: str, runs: list[Measured], figure: str) -> Line:
    return Line(name, [(number, getattr(run, figure)) for number, run in zip(CONNECTIONS, runs, strict=True)])


PARTS: dict[str, Callable[[Bench], None]] = {
    "sqlite": on_sqlite,
    "storing": storing_alone,
    "postgresql": on_postgresql,
    "duplicates": duplicates,
    "full": on_a_full_database,
    "counts": what_reads_cost_ingest,
    "memory": memory,
    "plot": over_connections,
}


def main() -> None:
    """Runs the parts that are asked for and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)}; all of them by default")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"no such part: {', '.join(unknown)}")
    if not shutil.which("wrk"):
        sys.exit("wrk is needed: apt-get install wrk")
    size = (5, 3.0, 200_000, 60_000) if options.quick else (7, 8.0, 5_000_000, 500_000)
    with tempfile.TemporaryDirectory(prefix="webhook_service-bench-") as folder:
        bench = Bench(Path(folder), *size)
        for name in options.parts or PARTS:
            PARTS[name](bench)
    print("\n| what | found | must reach | |\n|---|---|---|---|")
    for what, found, wanted, reached in bench.results:
        print(f"| {what} | {found} | {wanted} | {'reached' if reached else '**not reached**'} |")


def _ratio(
    bench: Bench, what: str, figure: float, reference: float, *, least: float | None = None, most: float | None = None
) -> None:
    ratio = figure / reference
    wanted = f">= {least}" if least is not None else f"<= {most}"
    reached = ratio >= least if least is not None else ratio <= (most or 0)
    bench.report(what, f"{ratio:.2f} ({figure:,.1f} / {reference:,.1f})", wanted, reached=reached)


def _bar(label: str, length: int) -> "click._termui_impl.ProgressBar[int]":
    return click.progressbar(length=length, label=label, file=sys.stderr)


if __name__ == "__main__":
    main()
