"""Makes signed deliveries, and sends them by wrk as fast as they are answered."""

import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import ROOT, SECRET, Server
from webhook_service.providers.native import sign

SENDERS = 2000
MOST_A_SECOND = 15_000  # more deliveries than any server that stores them is expected to answer
FIRST_SECOND = 1_767_225_600  # 2026-01-01T00:00:00Z

_RESULT = re.compile(r"RESULT (\d+) (\d+) (\S+) (\S+) (\d+)")


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of wrk, or the median of several.

    ``rate`` is in requests a second, ``p50`` and ``p99`` are in milliseconds, ``processor`` is the server's processor
    time for a request in microseconds, ``errors`` counts answers of 400 and above and failed connections.
    """

    rate: float
    p50: float
    p99: float
    processor: float
    requests: int
    errors: int


def median_of(runs: Sequence[Measured]) -> Measured:
    """Returns the median of each figure, and the sums of the counts."""
    return Measured(
        rate=statistics.median(run.rate for run in runs),
        p50=statistics.median(run.p50 for run in runs),
        p99=statistics.median(run.p99 for run in runs),
        processor=statistics.median(run.processor for run in runs),
        requests=sum(run.requests for run in runs),
        errors=sum(run.errors for run in runs),
    )


def write_deliveries(path: Path, count: int, *, first: int = 0) -> None:
    """Writes a file of ``count`` distinct signed deliveries, a line each: the signature, a space, the body."""
    with path.open("w") as file:
        for number in range(first, first + count):
            body = json.dumps(
                {
                    "message_id": f"bench-{number:010d}",
                    "from": f"+49151{number * 7919 % SENDERS:07d}",
                    "to": "+4930123456",
                    "ts": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(FIRST_SECOND + number // 50)),
                    "text": f"Hello, is order {number} on its way? Thanks!",
                }
            )
            file.write(f"{sign(SECRET, body.encode())} {body}\n")


def need_wrk() -> None:
    """Ends the program when there is no wrk."""
    if not shutil.which("wrk"):
        sys.exit("wrk is needed: apt-get install wrk")


def wrk(server: Server, deliveries: Path, *, connections: int, seconds: float) -> Measured:
    """Sends the deliveries, over and over, for ``seconds``, which are rounded: wrk takes only whole seconds."""
    options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(ROOT / "benchmarks" / "wrk.lua")]
    command = ["wrk", *options, server.url, "--", str(deliveries)]
    before = server.processor_seconds()
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    spent = server.processor_seconds() - before
    found = _RESULT.search(finished.stdout)
    if found is None:
        raise RuntimeError(f"wrk printed no result: {finished.stdout}")
    requests, microseconds, p50, p99, errors = (float(value) for value in found.groups())
    return Measured(
        rate=requests / microseconds * 1e6,
        p50=p50 / 1000,
        p99=p99 / 1000,
        processor=spent / requests * 1e6,
        requests=int(requests),
        errors=int(errors),
    )
