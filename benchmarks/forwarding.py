"""Measures how fast forwarders push, and at what latency: `python -m benchmarks.forwarding`.

Each figure is of one run, with forwarders and a receiver that are processes of their own. ``throughput``
pushes a backlog to a receiver that does nothing; ``scaling`` compares three forwarders with one, for a receiver that
takes 50 ms; ``latency`` is the time from the answer to a delivery until the request at the destination.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import Process, Queue
from pathlib import Path
from typing import Any

import urllib3

from tests.support.deliveries import signed, to_bytes
from tests.support.processes import BIN, ROOT
from tests.support.server import Server, free_port
from tests.support.waiting import wait_until
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.messages import Message
from webhook_service.storage.database import Database
from webhook_service.storage.migrate import migrate
from webhook_service.storage.queries.messages import MESSAGES_IN_A_STATEMENT, encode_message, insert_messages

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SENDERS = 5_000


class _NoOp(asyncio.Protocol):
    """Answers every request after ``pause`` seconds, and notes when each message came."""

    def __init__(self, pause: float, seen: dict[str, float]) -> None:
        self._pause, self._seen = pause, seen
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        while end >= 0:
            head = self._buffer[:end].lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            message_id = head.partition(b"webhook-id: ")[2].partition(b"\r\n")[0].decode()
            self._seen.setdefault(message_id, time.time())
            if self._pause:
                asyncio.get_running_loop().call_later(self._pause, self._answer)
            else:
                self._answer()
            end = self._buffer.find(b"\r\n\r\n")

    def _answer(self) -> None:
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def _receive(port: int, pause: float, wanted: int, done: "Queue[dict[str, float]]") -> None:
    async def serve() -> None:
        seen: dict[str, float] = {}
        server = await asyncio.get_running_loop().create_server(
            lambda: _NoOp(pause, seen), "127.0.0.1", port, backlog=1024
        )
        async with server:
            while not seen:
                await asyncio.sleep(0.001)
            done.put({})  # tells that the first message has come
            while len(seen) < wanted:
                await asyncio.sleep(0.01)
            done.put(seen)
            await asyncio.sleep(1)

    asyncio.run(serve())


def answer_requests(port: int) -> None:
    """Answers requests on a port at once, until the process ends."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _NoOp(0, {}), "127.0.0.1", port, backlog=1024)
        await server.serve_forever()

    asyncio.run(serve())


@contextmanager
def receiver(pause: float, wanted: int) -> Iterator[tuple[int, "Queue[dict[str, float]]"]]:
    """Starts a receiver in a process of its own, which tells when the first message has come, and then all times."""
    port = free_port()
    done: Queue[dict[str, float]] = Queue()
    process = Process(target=_receive, args=(port, pause, wanted, done), daemon=True)
    process.start()
    try:
        yield port, done
    finally:
        process.terminate()
        process.join()


@dataclass(frozen=True, slots=True)
class Setting:
    """A database and a folder, for the service's programs that run on it."""

    url: str
    folder: Path

    def environ(self) -> dict[str, str]:
        """Returns the environment of forwarders."""
        return {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": self.url,
            "WEBHOOK_SECRET": "unused",
            "SHOP_SECRET": SECRET,
            "CONFIG_FILE": str(self.folder / "webhook-service.toml"),
        }

    def declare(self, ports: Sequence[int], **options: object) -> None:
        """Declares a destination for each port."""
        lines = []
        for place, port in enumerate(ports):
            lines += [
                f"[destinations.d{place}]",
                f'url = "http://127.0.0.1:{port}/"',
                'secrets = [{env="SHOP_SECRET"}]',
            ]
            lines += ['allowed_networks = ["127.0.0.0/8"]', 'start = "beginning"']
            lines += [f"{name} = {json.dumps(value)}" for name, value in options.items()]
        (self.folder / "webhook-service.toml").write_text("\n".join(lines))

    def fill(self, number: int) -> None:
        """Stores messages of many senders."""
        migrate(parse_url(self.url))
        now = datetime.now(UTC)
        database = Database(parse_url(self.url), pool_size=1)
        rows = [
            encode_message(
                Message(f"m{each}", "native", f"+49{each % SENDERS}", "+4930", now, now, "Hello, how are you?")
            )
            for each in range(number)
        ]
        for start in range(0, number, MESSAGES_IN_A_STATEMENT):
            with database.transaction() as transaction:
                insert_messages(transaction, rows[start : start + MESSAGES_IN_A_STATEMENT])
        database.close()

    @contextmanager
    def forwarders(self, number: int) -> Iterator[list[int]]:
        """Runs forwarders during the block, and gives their process IDs."""
        command: list[str | Path] = [BIN / "webhook-service", "forward"]
        running = [
            subprocess.Popen(command, env=self.environ(), cwd=ROOT, stderr=subprocess.DEVNULL) for _ in range(number)
        ]
        try:
            yield [process.pid for process in running]
        finally:
            for process in running:
                process.send_signal(signal.SIGTERM)
            for process in running:
                process.wait()


def measure_throughput(setting: Setting, number: int, forwarders: int, pause: float) -> tuple[float, float]:
    """Returns messages a second, from the first to the last at the receiver, and processor seconds for each."""
    setting.fill(number)
    with receiver(pause, number) as (port, done):
        setting.declare([port])
        with setting.forwarders(forwarders) as processes:
            done.get(timeout=60)
            before = _processor_time(processes)
            moments = sorted(done.get(timeout=600).values())
            spent = _processor_time(processes) - before
    return (number - 1) / (moments[-1] - moments[0]), spent / number


def _processor_time(processes: Sequence[int]) -> float:
    """Returns the seconds of processor time that processes have taken; proc_pid_stat(5)."""
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure_latency(setting: Setting, number: int, rate: float) -> tuple[float, float]:
    """Returns the median and the 99th percentile, in seconds, from a delivery's answer to the destination's request."""
    migrate(parse_url(setting.url))
    answered: dict[str, float] = {}
    with receiver(0, number) as (port, done), Server(setting.url) as server:
        setting.declare([port])
        pool = urllib3.HTTPConnectionPool("127.0.0.1", server.port, maxsize=8)
        with setting.forwarders(1):
            wait_until(lambda: bool(server.get("/destinations").json()["data"]), "the forwarder to be there")
            begin = time.monotonic()
            for each in range(number):
                pause = begin + each / rate - time.monotonic()
                if pause > 0:
                    time.sleep(pause)
                now = datetime.now(UTC).isoformat()
                body = to_bytes(
                    {"message_id": f"m{each}", "from": f"+49{each % SENDERS}", "to": "+4930", "ts": now, "text": "Hi"}
                )
                response = pool.request("POST", "/webhook", body=body, headers=signed(body))
                answered[f"m{each}"] = time.time()
                assert response.status == 200, response.data
            done.get(timeout=60)
            seen = done.get(timeout=60)
    waits = sorted(seen[each] - answered[each] for each in answered)
    return waits[len(waits) // 2], waits[len(waits) * 99 // 100]


def main(arguments: Sequence[str]) -> None:
    """Prints the figures that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="*", default=["throughput", "scaling", "latency"])
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--database-url", help="An empty database.  [default: a SQLite file of its own for each run]")
    options = parser.parse_args(arguments)
    for figure in options.figures:
        with tempfile.TemporaryDirectory() as folder, suppress(KeyboardInterrupt):
            url = options.database_url or f"sqlite:///{folder}/app.db"
            setting = Setting(url, Path(folder))
            if figure == "throughput":
                rate, spent = measure_throughput(setting, options.messages, 1, 0)
                print(f"one forwarder: {rate:,.0f} messages/s, {spent * 1e6:,.0f} us of processor time a push")
            elif figure == "latency":
                median, worst = measure_latency(setting, min(options.messages, 4_000), 200)
                print(f"at 200/s: p50 {median * 1e3:.0f} ms, p99 {worst * 1e3:.0f} ms")
            else:
                _compare_numbers(Path(folder), options.messages)


def _compare_numbers(folder: Path, messages: int) -> None:
    rates = []
    for forwarders in (1, 3):
        below = folder / str(forwarders)
        below.mkdir()
        setting = Setting(f"sqlite:///{below}/app.db", below)
        rates.append(measure_throughput(setting, min(messages, 3_000 * forwarders), forwarders, 0.05)[0])
    print(f"a receiver that takes 50 ms: {rates[0]:,.0f}/s with one, {rates[1]:,.0f}/s with three")
    print(f"three push {rates[1] / rates[0]:.2f} times as many")


if __name__ == "__main__":
    main(sys.argv[1:])
