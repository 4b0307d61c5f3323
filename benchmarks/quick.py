"""A short alternating comparison on SQLite, for use while changing something.

.venv/bin/python -m benchmarks.quick service view node --rounds 3 --seconds 4 --connections 16

A subject is `service`, `view` (on gunicorn's own gthread), `node`, or an app of benchmarks/apps as MODULE:APP, which
runs on gthread with the service's gunicorn settings. The others are compared with the last one.
"""

import argparse
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.load import MOST_A_SECOND, Measured, median_of, need_wrk, write_deliveries, wrk
from benchmarks.peers.node import PeerMissing, find_node, node_service
from benchmarks.servers import THREADS, Server, migrate, server, stock_gunicorn


def start(subject: str, database: Path, threads: int) -> AbstractContextManager[Server]:
    """Starts the server of a subject, on a new database if it needs one."""
    if subject == "view":
        return stock_gunicorn("baseline:app")
    if subject == "node":
        try:
            return node_service(find_node(), database)
        except PeerMissing as missing:
            sys.exit(str(missing))
    url = f"sqlite:///{database}"
    migrate(url)
    if subject == "service":
        return server("wsgi:app", url, threads=threads)
    return server(subject, url, threads=threads, worker_class="gthread")


def show(subject: str, measured: Measured) -> str:
    """Returns a line about a run."""
    return (
        f"{subject:28} {measured.rate:8,.0f}/s  p50 {measured.p50:6.2f}  p99 {measured.p99:6.2f} ms"
        f"  {measured.processor:5.0f} µs a delivery"
    )


def main() -> None:
    """Prints every run, then the median of each subject and its ratio to the last one's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--threads", type=int, default=THREADS)
    options = parser.parse_args()
    need_wrk()
    runs: dict[str, list[Measured]] = {subject: [] for subject in options.subjects}
    with tempfile.TemporaryDirectory() as folder:
        deliveries = Path(folder) / "deliveries"
        write_deliveries(deliveries, int(MOST_A_SECOND * options.seconds))
        for round_ in range(options.rounds):
            for number, subject in enumerate(runs):
                with start(subject, Path(folder) / f"{number}-{round_}.db", options.threads) as at:
                    runs[subject].append(wrk(at, deliveries, connections=options.connections, seconds=options.seconds))
                print(show(subject, runs[subject][-1]))
    reference = median_of(runs[options.subjects[-1]])
    print("\nmedians")
    for subject, found in runs.items():
        median = median_of(found)
        print(f"{show(subject, median)}  {median.rate / reference.rate:.2f} of the last")


if __name__ == "__main__":
    main()
