"""Measures what several nodes on one PostgreSQL do, and what the database spends on a batch.

    make bench-nodes                      both parts, about three minutes
    make bench-nodes BENCH=batches        what batches of 8, 64 and 512 messages cost, with and without turns
    make bench-nodes BENCH='nodes --seconds 20'

Needs PostgreSQL's server programs, and the part *nodes* wrk. Processor time and bytes of log are counted by the kernel
and by the database, so they hold on a busy machine; rates hold for the machine alone.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from unittest.mock import patch

import psycopg
from psycopg.abc import Query

from benchmarks.load import MOST_A_SECOND, need_wrk, write_deliveries, wrk
from benchmarks.postgresql import postgresql
from benchmarks.servers import migrate, server
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.messages import Message
from webhook_service.storage.database import Database
from webhook_service.storage.queries import insert
from webhook_service.storage.queries.messages import encode_message, insert_messages

BATCHES = (8, 64, 512)
NODES = (1, 2, 4)
CONNECTIONS = 32  # of each node
MESSAGES = 30_000  # for each size of a batch
WRITERS = 4  # in the measurement with several at once
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Spent:
    """The resources that a database has used so far: processor seconds, bytes of log, commits, and messages stored."""

    seconds: float
    log: int
    commits: int
    messages: int
    moment: float

    def since(self, before: "Spent") -> str:
        """Describes what was used since an earlier moment."""
        messages, commits = self.messages - before.messages, self.commits - before.commits
        took = self.moment - before.moment
        return (
            f"{messages / took:8,.0f} messages a second, {messages / max(commits, 1):6.1f} a commit;"
            f" of the database {(self.seconds - before.seconds) / messages * 1e6:6.0f} µs of processor"
            f" and {(self.log - before.log) / messages:6,.0f} bytes of log a message"
        )


class Spending:
    """Reads the resources that a PostgreSQL server on this machine has used."""

    def __init__(self, url: str, folder: Path) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._postmaster = int((folder / "data" / "postmaster.pid").read_text().split()[0])

    def now(self) -> Spent:
        """Reads them, once the backends have reported their statistics."""
        time.sleep(1.1)
        return Spent(
            seconds=_processor_seconds(self._postmaster),
            log=self._number("SELECT pg_current_wal_lsn() - '0/0'"),
            commits=self._number("SELECT count(DISTINCT xmin::text) FROM messages"),
            messages=self._number("SELECT last_value FROM messages_id_seq"),
            moment=time.monotonic(),
        )

    def _number(self, query: Query) -> int:
        (value,) = self._connection.execute(query).fetchone() or (0,)
        return int(value)


def _processor_seconds(postmaster: int) -> float:
    """Returns the user and system time of a PostgreSQL server: of its processes, and of those that have ended."""
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    ticks = sum(_ticks(postmaster, 11, 15)) + sum(sum(_ticks(int(pid), 11, 13)) for pid in children)
    return ticks / _TICKS


def _ticks(pid: int, first: int, last: int) -> Iterator[int]:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return iter(())
    return map(int, fields[first:last])


def _rows(first: int, number: int) -> list[insert.Row]:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        encode_message(
            Message(
                message_id=f"bench-{n:010d}",
                provider="native",
                sender=f"+49151{n * 7919 % 2000:07d}",
                recipient="+4930123456",
                ts=moment,
                text=f"Hello, is order {n} on its way? Thanks!",
                received_at=moment,
            )
        )
        for n in range(first, first + number)
    ]


def _store(database: Database, rows: list[insert.Row]) -> None:
    """Stores rows in the way in which a round of deliveries with nothing but messages is stored."""
    with database.turn_to_write() as turn, turn.driver_connection(in_one_transaction=False) as statement:
        insert_messages(statement, rows)


@contextmanager
def _without_turns() -> Iterator[None]:
    """Makes statements take no turn during the block."""
    statements = insert._from_records  # noqa: SLF001  # statements are cached, so the cache has to be cleared
    statements.cache_clear()
    with patch.object(insert, "TAKE_TURN", "SELECT 1"):
        yield
    statements.cache_clear()


class Batches:
    """Stores batches of given sizes by the service's own statement, without HTTP."""

    def __init__(self, url: str, spending: Spending) -> None:
        self._url, self._spending, self._next = url, spending, 0

    def measure(self, size: int, writers: int) -> str:
        """Stores MESSAGES in batches of a size, by several writers, each with connections of its own."""
        databases = [Database(parse_url(self._url), pool_size=1) for _ in range(writers)]
        batches = [self._batch(size) for _ in range(MESSAGES // size)]
        before = self._spending.now()
        with ThreadPoolExecutor(writers) as threads:
            storing = [
                threads.submit(_store, databases[number % writers], batch) for number, batch in enumerate(batches)
            ]
            for stored in storing:
                stored.result()
        spent = self._spending.now().since(before)
        for database in databases:
            database.close()
        return spent

    def _batch(self, size: int) -> list[insert.Row]:
        self._next += size
        return _rows(self._next, size)


def measure_batches(url: str, folder: Path) -> None:
    """Prints what batches cost, with turns and without, by one writer and by several."""
    batches = Batches(url, Spending(url, folder))
    batches.measure(64, 1)  # not measured: the first batches meet an empty table and cold connections
    for size in BATCHES:
        for writers in (1, WRITERS):
            print(
                f"batches of {size:3}, {writers} writers, in turns:      {batches.measure(size, writers)}", flush=True
            )
            with _without_turns():
                print(
                    f"batches of {size:3}, {writers} writers, without turns: {batches.measure(size, writers)}",
                    flush=True,
                )


def measure_nodes(url: str, folder: Path, seconds: float) -> None:
    """Prints what 1, 2 and 4 nodes of two workers do under load."""
    need_wrk()
    spending = Spending(url, folder)
    first = 10_000_000
    for number in NODES:
        with ExitStack() as stack:
            nodes = [stack.enter_context(server("wsgi:app", url)) for _ in range(number)]
            threads = []
            for node in nodes:
                deliveries = folder.parent / f"deliveries-{first}"
                count = round(MOST_A_SECOND * seconds / number)
                write_deliveries(deliveries, count, first=first)
                first += count
                threads.append(
                    Thread(target=wrk, args=(node, deliveries), kwargs={"connections": CONNECTIONS, "seconds": seconds})
                )
            before = spending.now()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            print(f"{number} nodes: {spending.now().since(before)}", flush=True)


def main() -> None:
    """Runs the part that is named, or both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["batches", "nodes", "both"], default="both")
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, postgresql(Path(folder) / "postgresql") as url:
        if url is None:
            raise SystemExit("PostgreSQL's server programs are needed: apt-get install postgresql")
        migrate(url)
        if arguments.part != "nodes":
            measure_batches(url, Path(folder) / "postgresql")
        if arguments.part != "batches":
            measure_nodes(url, Path(folder) / "postgresql", arguments.seconds)


if __name__ == "__main__":
    main()
