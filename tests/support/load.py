"""Senders that deliver new messages one after another, and remember the answer to each."""

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import pairwise
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, Self

import urllib3

from tests.support.deliveries import payload, signed, to_bytes
from tests.support.server import Server
from tests.support.waiting import wait_until

SENDERS = 8
PAUSE = 0.05  # seconds between two deliveries of a sender, so that tests that run meanwhile get their share
PAUSE_AFTER_FAILURE = 0.05  # seconds, if a delivery was not answered 200


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a sender: its status, None when the connection broke instead, its time, and the seconds it took."""

    sender: int
    content: dict[str, Any]
    status: int | None
    retry_after: str | None
    at: float
    seconds: float


class Receiver(Protocol):
    """A receiver of deliveries: a server, or a client of one that is behind a proxy."""

    def deliver(self, content: Any) -> urllib3.BaseHTTPResponse:
        """Sends a signed delivery."""


class Load:
    """Deliveries to these servers in turn, from the beginning of the block to its end.

    A sender rests for ``pause`` seconds after a delivery that was answered 200.
    """

    def __init__(self, *servers: Receiver, pause: float = PAUSE) -> None:
        self.answers: list[Answer] = []
        self._servers = servers
        self._pause = pause
        self._stopped = Event()
        self._threads = ThreadPoolExecutor(SENDERS)
        self._senders: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._senders = [self._threads.submit(self._send, number) for number in range(SENDERS)]
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._threads.shutdown()
        for sender in self._senders:
            sender.result()

    def wait_for(self, number: int, status: int) -> None:
        """Waits until ``number`` more deliveries got this status."""
        seen = len(self.answers)
        wait_until(
            lambda: sum(answer.status == status for answer in self.answers[seen:]) >= number,
            f"{number} answers with {status}",
        )

    def wait_for_every_sender(self, status: int, times: int = 1) -> None:
        """Waits until each sender got this status ``times`` times more."""
        seen = len(self.answers)

        def is_reached() -> bool:
            got = Counter(answer.sender for answer in self.answers[seen:] if answer.status == status)
            return all(got[sender] >= times for sender in range(SENDERS))

        wait_until(is_reached, f"{status} for every sender")

    def sent(self) -> set[str]:
        """Returns the IDs of all messages that were sent, whatever the answer."""
        return _ids(self.answers)

    def acknowledged(self) -> set[str]:
        """Returns the IDs of the messages that were answered 200."""
        return _ids(answer for answer in self.answers if answer.status == 200)

    def statuses(self) -> set[int | None]:
        """Returns the set of all statuses."""
        return {answer.status for answer in self.answers}

    def longest_outage(self) -> float:
        """Returns the most seconds from one answer of 200 to the next, whichever sender got it."""
        stored = sorted(answer.at for answer in self.answers if answer.status == 200)
        return max(later - earlier for earlier, later in pairwise(stored))

    def slowest(self) -> float:
        """Returns the seconds that the slowest answer took."""
        return max(answer.seconds for answer in self.answers)

    def send_the_rest_again(self) -> set[int]:
        """Delivers again what was not answered 200, as a provider does, and returns the statuses of the answers."""
        acknowledged = self.acknowledged()
        rest = [answer.content for answer in self.answers if answer.content["message_id"] not in acknowledged]
        return {self._servers[0].deliver(content).status for content in rest}

    def _send(self, sender: int) -> None:
        server = self._servers[sender % len(self._servers)]
        while not self._stopped.is_set():
            answer = _deliver(server, sender, payload())
            self.answers.append(answer)
            self._stopped.wait(self._pause if answer.status == 200 else PAUSE_AFTER_FAILURE)


class Arrivals:
    """New clients of a server, each with one delivery and a connection of its own, at a rate that stays steady."""

    def __init__(self, server: Server, rate: float) -> None:
        self._server = server
        self._pause = 1 / rate
        self._stopped = Event()
        self._threads = ThreadPoolExecutor(256)
        self._clients: list[Future[int | None]] = []

    def __enter__(self) -> Self:
        self._arriving = Thread(target=self._arrive)
        self._arriving.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._arriving.join()
        self._threads.shutdown()

    def statuses(self) -> set[int | None]:
        """Returns the set of all statuses, None for a connection that broke; to be called after the block."""
        return {client.result() for client in self._clients}

    def _arrive(self) -> None:
        due = monotonic()
        while not self._stopped.wait(max(0.0, due - monotonic())):
            self._clients.append(self._threads.submit(self._deliver_anew))
            due += self._pause

    def _deliver_anew(self) -> int | None:
        raw = to_bytes(payload())
        client = HTTPConnection("127.0.0.1", self._server.port, timeout=60)
        try:
            client.request("POST", "/webhook", raw, signed(raw))
            return client.getresponse().status
        except OSError:
            return None
        finally:
            client.close()


def _deliver(server: Receiver, sender: int, content: dict[str, Any]) -> Answer:
    begun = monotonic()
    try:
        response = server.deliver(content)
    except urllib3.exceptions.HTTPError:
        status = retry_after = None
    else:
        status, retry_after = response.status, response.headers.get("Retry-After")
    now = monotonic()
    return Answer(sender, content, status, retry_after, now, now - begun)


def _ids(answers: Iterable[Answer]) -> set[str]:
    return {answer.content["message_id"] for answer in answers}
