"""Measures whether a dead destination slows another: ``python -m benchmarks.backlog --messages 10000000``.

Every message of a filled database waits behind a destination at which nothing listens; another begins at the end of the
feed. Rounds with and without the dead one alternate. ``latency`` is the time from the answer to a delivery, at 200/s,
until the request at the destination; ``pushes`` is how fast the other gets messages that were stored before; ``ingest``
is how fast deliveries are answered meanwhile.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
import urllib3

from benchmarks.fill import fill, is_filled
from benchmarks.forwarding import SENDERS, Setting, receiver
from benchmarks.postgresql import postgresql
from tests.support.deliveries import signed, to_bytes
from tests.support.receivers import closed_port
from tests.support.server import Server
from tests.support.waiting import wait_until

RATE = 200  # deliveries a second for the latency
CLIENTS = 8  # that deliver at once for the rate of ingest


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one round; latencies are in seconds, and all else is a second."""

    p50: float
    p99: float
    pushes: float
    ingest: float


class Round:
    """One round: a server, and a destination that takes messages, beside a dead one or alone."""

    def __init__(self, setting: Setting, server: Server, name: str, dead_port: int | None) -> None:
        self._setting = setting
        self._server = server
        self._name = name
        self._dead_port = dead_port
        self._pool = urllib3.HTTPConnectionPool("127.0.0.1", server.port, maxsize=CLIENTS)

    def measure(self, number: int) -> Figures:
        """Measures with this many messages for each figure."""
        ids = {part: [f"{self._name}-{part}-{each}" for each in range(number)] for part in ("latency", "push", "in")}
        p50, p99 = self._measure_latency(ids["latency"])
        for each in ids["push"]:
            self._deliver(each)
        return Figures(p50, p99, self._measure_pushes(ids["push"]), self._measure_ingest(ids["in"]))

    def _measure_latency(self, ids: Sequence[str]) -> tuple[float, float]:
        answered = {}
        with self._forwarding(len(ids), "before-latency") as arrivals:
            begin = time.monotonic()
            for place, each in enumerate(ids):
                time.sleep(max(0.0, begin + place / RATE - time.monotonic()))
                answered[each] = self._deliver(each)
            seen = next(arrivals)
        waits = sorted(seen[each] - answered[each] for each in ids)
        return waits[len(waits) // 2], waits[len(waits) * 99 // 100]

    def _measure_pushes(self, ids: Sequence[str]) -> float:
        with self._forwarding(len(ids)) as arrivals:
            moments = sorted(next(arrivals).values())
        return (len(moments) - 1) / (moments[-1] - moments[0])

    def _measure_ingest(self, ids: Sequence[str]) -> float:
        with self._forwarding(len(ids), "before-in") as arrivals, ThreadPoolExecutor(CLIENTS) as clients:
            begin = time.monotonic()
            list(clients.map(self._deliver, ids))
            rate = len(ids) / (time.monotonic() - begin)
            next(arrivals)
        return rate

    @contextmanager
    def _forwarding(self, number: int, first: str | None = None) -> Iterator[Iterator[dict[str, float]]]:
        """Runs a forwarder during the block, and gives the times at which messages came, once ``number`` have.

        With ``first``, the forwarder has pushed a message before the block, so that its start is not measured.
        """
        with receiver(0, number + bool(first)) as (port, done):
            declare(self._setting.folder, port, self._dead_port)
            with self._setting.forwarders(1):
                if first:
                    wait_until(self._is_there, "the forwarder")
                    self._deliver(f"{self._name}-{first}")
                    done.get(timeout=60)
                yield (seen for seen in iter(lambda: done.get(timeout=600), None) if seen)

    def _is_there(self) -> bool:
        states = {each["name"]: each["state"] for each in self._server.get("/destinations").json()["data"]}
        return "live" in states and (self._dead_port is None or states.get("dead") == "paused")

    def _deliver(self, message_id: str) -> float:
        """Delivers a message, and returns when it was answered."""
        now, sender = datetime.now(UTC).isoformat(), f"+49{hash(message_id) % SENDERS}"
        body = to_bytes({"message_id": message_id, "from": sender, "to": "+4930", "ts": now, "text": "Hi"})
        answer = self._pool.request("POST", "/webhook", body=body, headers=signed(body))
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.data!r}")
        return time.time()


def declare(folder: Path, port: int, dead_port: int | None) -> None:
    """Declares the destination that takes messages and, if its port is given, the dead one before it."""
    places = {"live": (port, "now")} if dead_port is None else {"dead": (dead_port, "beginning"), "live": (port, "now")}
    tables = [
        f'[destinations.{name}]\nurl = "http://127.0.0.1:{at}/"\nsecrets = [{{env = "SHOP_SECRET"}}]\n'
        f'allowed_networks = ["127.0.0.0/8"]\nstart = "{start}"\n'
        for name, (at, start) in places.items()
    ]
    (folder / "webhook-service.toml").write_text("\n".join(tables))


def compare(url: str, folder: Path, number: int, rounds: int) -> dict[str, list[Figures]]:
    """Measures in rounds that alternate, without and with the dead destination."""
    setting = Setting(url, folder)
    figures: dict[str, list[Figures]] = {"without": [], "with": []}
    with closed_port() as port, Server(url) as server:
        for at in range(rounds):
            for name, dead_port in (("without", None), ("with", port)):
                measured = Round(setting, server, f"{name}-{at}", dead_port).measure(number)
                click.echo(f"{name:8}{_line(measured)}", err=True)
                figures[name].append(measured)
    return figures


def report(figures: dict[str, list[Figures]]) -> str:
    """Returns the table of the medians."""
    lines = ["| dead destination | p50 | p99 | pushes a second | deliveries a second |", "|---|---|---|---|---|"]
    for name, rounds in figures.items():
        medians = Figures(
            *(
                statistics.median(getattr(each, field) for each in rounds)
                for field in ("p50", "p99", "pushes", "ingest")
            )
        )
        lines.append(f"| {name} | {_line(medians)} |")
    return "\n".join(lines)


def _line(figures: Figures) -> str:
    latencies = f"{figures.p50 * 1e3:.0f} ms | {figures.p99 * 1e3:.0f} ms"
    return f"{latencies} | {figures.pushes:,.0f} | {figures.ingest:,.0f}"


@click.command()
@click.option("--messages", default=200_000, show_default=True, help="Messages that wait behind the dead destination.")
@click.option("--number", default=2_000, show_default=True, help="Messages for each figure of a round.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), default="sqlite", show_default=True)
def main(messages: int, number: int, rounds: int, database: str) -> None:
    """Fill a database, and measure."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if database == "sqlite":
            click.echo(_fill_and_compare(f"sqlite:///{folder}/app.db", folder, messages, number, rounds))
            return
        with postgresql(folder / "postgresql") as url:
            if url is None:
                raise click.ClickException("there is no PostgreSQL on this machine")
            click.echo(_fill_and_compare(url, folder, messages, number, rounds))


def _fill_and_compare(url: str, folder: Path, messages: int, number: int, rounds: int) -> str:
    if not is_filled(url):
        fill(url, messages, SENDERS)
    return report(compare(url, folder, number, rounds))


if __name__ == "__main__":
    main()
