"""Measures how fast ingest is, beside what it is compared with in the same run.

    make bench                            every part, about half an hour
    make bench BENCH='--quick sqlite'     one part, with short rounds, about two minutes

Needs wrk (`apt-get install wrk`). PostgreSQL needs its server programs (`apt-get install postgresql`) or the URL of a
server in BENCH_POSTGRES_URL, and the plain Node service needs npm; what is missing is left out with a message.
Rounds alternate between the subjects, since machines are noisy. Every run is written to a file, from which
`make bench-report` makes the tables of docs/performance.md and the plot.
"""

import argparse
import sqlite3
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
import psycopg
from sqlalchemy import make_url

from benchmarks.fill import fill
from benchmarks.gates import gates_table
from benchmarks.load import MOST_A_SECOND, need_wrk, write_deliveries, wrk
from benchmarks.peers.node import PeerMissing, find_node, node_service, version
from benchmarks.postgresql import postgresql
from benchmarks.records import (
    BARE,
    BARE_POSTGRESQL,
    DUPLICATES,
    FULL,
    INSERT_PER_REQUEST,
    NODE,
    POSTGRESQL,
    RESULTS,
    SERVICE,
    VIEW,
    Part,
    Run,
    machine_facts,
    replace_parts,
)
from benchmarks.servers import ROOT, Server, migrate, server, stock_gunicorn

SERVICE_APP, VIEW_APP = "wsgi:app", "baseline:app"
INSERT_PER_REQUEST_APP = "insert_per_request:app"

CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 128)
QUICK_RESULTS = ROOT / "data" / "ingest-quick.json"


@dataclass(frozen=True, slots=True)
class Size:
    """The number and length of the rounds, and the size of the databases of some parts."""

    rounds: int
    seconds: float
    stored: int
    deliveries: int


WHOLE = Size(rounds=5, seconds=8, stored=5_000_000, deliveries=500_000)
QUICK = Size(rounds=3, seconds=3, stored=200_000, deliveries=60_000)


@dataclass
class Bench:
    """Makes databases, files of deliveries, and rounds of load."""

    folder: Path
    size: Size
    node: Path | None
    _files: int = field(default=0, init=False)
    _written: int = field(default=0, init=False)

    def new_file(self) -> Path:
        """Returns a path at which there is nothing yet."""
        self._files += 1
        return self.folder / str(self._files)

    def migrated_sqlite(self) -> str:
        """Makes a new database with the tables in it; returns its URL."""
        url = f"sqlite:///{self.new_file()}"
        migrate(url)
        return url

    def new_deliveries(self, count: int) -> Path:
        """Makes a file of deliveries that are in no earlier file."""
        path = self.new_file()
        write_deliveries(path, count, first=self._written)
        self._written += count
        return path

    def alternate(
        self, servers: Mapping[str, Server], plan: Mapping[int, Sequence[str]], *, seconds: float | None = None
    ) -> list[Run]:
        """Runs rounds of distinct deliveries: for each number of connections, to each of its subjects with a server."""
        seconds = seconds or self.size.seconds
        runs = []
        for round_ in range(1, self.size.rounds + 1):
            for connections, names in plan.items():
                count = int(MOST_A_SECOND * seconds)
                deliveries = self.new_deliveries(count)
                for subject in _rotated([name for name in names if name in servers], by=round_):
                    run = load(subject, servers[subject], deliveries, connections, round_, seconds)
                    if subject != VIEW and run.measured.requests > count:
                        raise RuntimeError("the deliveries ran out, and were sent again: raise MOST_A_SECOND")
                    runs.append(run)
                deliveries.unlink()
        return runs


def load(subject: str, at: Server, deliveries: Path, connections: int, round_: int, seconds: float) -> Run:
    """Runs wrk once, and prints a line about it on standard error."""
    measured = wrk(at, deliveries, connections=connections, seconds=seconds)
    click.echo(
        f"  {subject:40} {connections:4} connections {measured.rate:10,.0f}/s"
        f"  p50 {measured.p50:7.2f}  p99 {measured.p99:7.2f} ms  {measured.processor:6.0f} µs",
        err=True,
    )
    return Run(subject, connections, round_, seconds, measured)


def _rotated(names: Sequence[str], by: int) -> list[str]:
    """Rotates the names, so that each round begins with another one."""
    by %= len(names)
    return [*names[by:], *names[:by]]


def on_sqlite(bench: Bench) -> list[Run]:
    """Measures the service beside the view, the plain Node service, and an insert per request."""
    with ExitStack() as stack:
        servers = {
            SERVICE: stack.enter_context(server(SERVICE_APP, bench.migrated_sqlite())),
            VIEW: stack.enter_context(stock_gunicorn(VIEW_APP)),
            INSERT_PER_REQUEST: stack.enter_context(
                server(INSERT_PER_REQUEST_APP, bench.migrated_sqlite(), worker_class="gthread")
            ),
        }
        if bench.node:
            servers[NODE] = stack.enter_context(node_service(bench.node, bench.new_file()))
        plan = {
            16: (SERVICE, VIEW, NODE, INSERT_PER_REQUEST),
            64: (SERVICE, VIEW, NODE),
            1: (SERVICE, INSERT_PER_REQUEST),
        }
        return bench.alternate(servers, plan)


def on_postgresql(bench: Bench) -> list[Run]:
    """Measures the service beside the view; PostgreSQL shares their cores, but its processor time is not counted."""
    with ExitStack() as stack:
        url = stack.enter_context(postgresql(bench.folder / "postgresql"))
        if url is None:
            return _without_postgresql()
        migrate(url)
        servers = {
            POSTGRESQL: stack.enter_context(server(SERVICE_APP, url)),
            VIEW: stack.enter_context(stock_gunicorn(VIEW_APP)),
        }
        return bench.alternate(servers, {16: tuple(servers), 64: tuple(servers)})


def duplicates(bench: Bench) -> list[Run]:
    """Measures deliveries that were all sent before, beside new ones."""
    runs = []
    with (
        server(SERVICE_APP, bench.migrated_sqlite()) as new,
        server(SERVICE_APP, bench.migrated_sqlite()) as again,
    ):
        for round_ in range(1, bench.size.rounds + 1):
            seconds = bench.size.seconds
            known, unknown = bench.new_deliveries(2000), bench.new_deliveries(int(MOST_A_SECOND * seconds))
            wrk(again, known, connections=16, seconds=3)  # stores the known deliveries
            runs.append(load(SERVICE, new, unknown, 16, round_, seconds))
            runs.append(load(DUPLICATES, again, known, 16, round_, seconds))
    return runs


def on_a_full_database(bench: Bench) -> list[Run]:
    """Measures the service on a database with many messages, beside one on an empty database."""
    full = f"sqlite:///{bench.new_file()}"
    fill(full, bench.size.stored, senders=2000)
    with server(SERVICE_APP, bench.migrated_sqlite()) as empty, server(SERVICE_APP, full) as filled:
        runs = bench.alternate({SERVICE: empty, FULL: filled}, {16: (SERVICE, FULL)})
    return [replace(run, stored=bench.size.stored) if run.subject == FULL else run for run in runs]


def what_reads_cost_ingest(bench: Bench) -> list[Run]:
    """Measures the service with counts and the search index, beside databases from which both were removed."""
    bare = bench.migrated_sqlite()
    with closing(sqlite3.connect(make_url(bare).database or "")) as file:
        for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            file.execute(f"DROP TRIGGER {name}")
    with server(SERVICE_APP, bench.migrated_sqlite()) as whole, server(SERVICE_APP, bare) as without:
        runs = bench.alternate({SERVICE: whole, BARE: without}, {16: (SERVICE, BARE)})
    with postgresql(bench.folder / "postgresql-bare") as url:
        return runs + (_without_postgresql() if url is None else _what_reads_cost_postgresql(bench, url))


def _what_reads_cost_postgresql(bench: Bench, url: str) -> list[Run]:
    migrate(url)
    bare = make_url(url).set(database="bare").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE bare TEMPLATE postgres")
    with psycopg.connect(bare, autocommit=True) as connection:
        connection.execute("DROP FUNCTION count_messages CASCADE")
        connection.execute("DROP INDEX ix_messages_text_folded_trigrams")
    with server(SERVICE_APP, url) as whole, server(SERVICE_APP, bare) as without:
        servers = {POSTGRESQL: whole, BARE_POSTGRESQL: without}
        return bench.alternate(servers, {16: tuple(servers)})


def memory(bench: Bench) -> list[Run]:
    """Measures the memory of a worker while many deliveries come."""
    runs: list[Run] = []
    with server(SERVICE_APP, bench.migrated_sqlite()) as service:
        while sum(run.measured.requests for run in runs) < bench.size.deliveries:
            deliveries = bench.new_deliveries(5 * MOST_A_SECOND)
            run = load(SERVICE, service, deliveries, 16, len(runs) + 1, seconds=5)
            runs.append(replace(run, megabytes=service.worker_megabytes()))
            deliveries.unlink()
    return runs


def over_connections(bench: Bench) -> list[Run]:
    """Measures the points of the plot: from one connection to many."""
    with ExitStack() as stack:
        servers = {
            SERVICE: stack.enter_context(server(SERVICE_APP, bench.migrated_sqlite())),
            VIEW: stack.enter_context(stock_gunicorn(VIEW_APP)),
        }
        if bench.node:
            servers[NODE] = stack.enter_context(node_service(bench.node, bench.new_file()))
        plan = dict.fromkeys(CONNECTIONS, tuple(servers))
        return bench.alternate(servers, plan, seconds=bench.size.seconds / 2)


def _without_postgresql() -> list[Run]:
    click.echo("  PostgreSQL is left out: there is no server to start (apt-get install postgresql)", err=True)
    return []


PARTS: dict[str, Callable[[Bench], list[Run]]] = {
    "sqlite": on_sqlite,
    "postgresql": on_postgresql,
    "duplicates": duplicates,
    "full": on_a_full_database,
    "counts": what_reads_cost_ingest,
    "memory": memory,
    "connections": over_connections,
}


def find_node_or_say_why() -> Path | None:
    """Returns the Node of the plain Node service; None, with a message, when there is none to be had."""
    try:
        return find_node()
    except PeerMissing as missing:
        click.echo(f"The plain Node service is left out: {missing}", err=True)
        return None


def main() -> None:
    """Measures the parts that are asked for, writes each to the file as soon as it is done, and prints the gates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)}; all of them by default")
    parser.add_argument("--quick", action="store_true", help="short rounds and small databases")
    parser.add_argument(
        "--results",
        type=Path,
        help=f"where runs are written, {RESULTS.relative_to(ROOT)} by default, and {QUICK_RESULTS.relative_to(ROOT)} "
        "with --quick; the parts that are not measured stay as they are there",
    )
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"no such part: {', '.join(unknown)}")
    need_wrk()
    file: Path = options.results or (QUICK_RESULTS if options.quick else RESULTS)
    node = find_node_or_say_why()
    machine = machine_facts() | ({"node": version(node)} if node else {})
    measured: dict[str, Part] = {}
    with tempfile.TemporaryDirectory(prefix="webhook_service-bench-") as folder:
        bench = Bench(Path(folder), QUICK if options.quick else WHOLE, node)
        for name in options.parts or PARTS:
            click.echo(name, err=True)
            if runs := PARTS[name](bench):
                measured[name] = Part(machine, runs)
                replace_parts(file, {name: measured[name]})
    print(gates_table(measured))


if __name__ == "__main__":
    main()
