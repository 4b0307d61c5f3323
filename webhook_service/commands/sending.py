"""Sends signed deliveries, as a provider would: one to try the service, or many to load it."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from uuid import uuid4

import urllib3

from webhook_service.domain.messages import Message
from webhook_service.providers.base import Sample
from webhook_service.providers.source import Source

TIMEOUT = 30.0  # seconds to wait for an answer
NO_ANSWER = "no answer"

_FAILURES: dict[type[urllib3.exceptions.HTTPError], str] = {
    urllib3.exceptions.NameResolutionError: "no such host is known",
    urllib3.exceptions.NewConnectionError: "no server listens there, or can't be reached",
    urllib3.exceptions.TimeoutError: f"none within {TIMEOUT:.0f} seconds",
    urllib3.exceptions.SSLError: "TLS failed",
    urllib3.exceptions.HTTPError: "the connection broke, or what came back is no HTTP",
}


@dataclass(frozen=True, slots=True)
class Samples:
    """The content of the deliveries, and the source that signs them; if ``message_id`` is None, each has a new ID."""

    source: Source
    sender: str
    recipient: str
    text: str
    message_id: str | None = None

    def __iter__(self) -> Iterator[Sample]:
        """Yields deliveries without end, each signed at the current time."""
        while True:
            now = datetime.now(UTC)
            message = Message(
                message_id=self.message_id or f"m-{uuid4()}",
                provider=self.source.provider.name,
                sender=self.sender,
                recipient=self.recipient,
                ts=now,
                received_at=now,
                text=self.text,
            )
            yield self.source.sample(message)


@dataclass(frozen=True, slots=True)
class Load:
    """The load to send: the URL, the number of deliveries, and how many are under way at once."""

    url: str
    count: int
    concurrency: int


@dataclass(slots=True)
class Summary:
    """A summary of the answers. ``latencies`` are in milliseconds; a delivery without an answer counts as NO_ANSWER."""

    statuses: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    only_answer: str | None = None
    interrupted: bool = False

    @property
    def rate(self) -> float:
        """Returns the deliveries a second."""
        return self.statuses.total() / self.seconds

    @property
    def has_failures(self) -> bool:
        """Tells whether any delivery was not accepted."""
        return not self.statuses or not all(status.startswith("2") for status in self.statuses)

    def percentile(self, percent: int) -> float:
        """Returns the latency that ``percent`` of the deliveries did not exceed (nearest rank)."""
        ordered = sorted(self.latencies)
        return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def send_all(load: Load, samples: Samples, on_answer: Callable[[], None]) -> Summary:
    """Sends the load over kept-alive connections; calls ``on_answer`` after each delivery, one thread at a time.

    Ctrl-C ends this at once, without waiting for answers that are under way.
    """
    summary = Summary()
    lock = threading.Lock()
    deliveries = islice(iter(samples), load.count)
    pool = urllib3.PoolManager(maxsize=load.concurrency, retries=False, timeout=TIMEOUT)

    def next_delivery() -> Sample | None:
        with lock:
            return None if summary.interrupted else next(deliveries, None)

    def work() -> None:
        while (delivery := next_delivery()) is not None:
            started = time.perf_counter()
            status, answer = _send(pool, load.url, delivery)
            elapsed = (time.perf_counter() - started) * 1000
            with lock:
                if summary.interrupted:
                    return
                summary.statuses[status] += 1
                summary.latencies.append(elapsed)
                if load.count == 1:
                    summary.only_answer = f"{status} {answer}"
                on_answer()

    started = time.perf_counter()
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(load.concurrency, load.count))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        with lock:
            summary.interrupted = True
    summary.seconds = time.perf_counter() - started
    return summary


def _send(pool: urllib3.PoolManager, url: str, delivery: Sample) -> tuple[str, str]:
    try:
        response = pool.request("POST", url + delivery.path, body=delivery.body, headers=delivery.headers)
    except urllib3.exceptions.HTTPError as error:
        return NO_ANSWER, next(words for kind, words in _FAILURES.items() if isinstance(error, kind))
    return str(response.status), response.data.decode(errors="replace").rstrip()
