"""Answers that are held back until there is something to say.

A server that can hold a request without a thread is told what the answer depends on, and calls the application again
when there is something. Under any other server a thread waits.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TypeVar

from webhook_service.outlet.wait_checker import WaitChecker, WaitCondition

PAUSE = 0.05  # seconds between two looks of a thread that waits
# After an answer that left little over, the next one to the same reader comes REST times as long after as that took.
# So a reader takes a twentieth of a thread's time, and the busier the machine, the more messages come at a time.
REST = 20
SHORTEST_REST, LONGEST_REST = 0.05, 0.5  # seconds

Found = TypeVar("Found")
Ask = Callable[[], WaitCondition]
"""Returns the condition under which the last read would have found something."""

_this_thread = threading.local()


def _no(_found: object) -> bool:
    return False


@dataclass(slots=True)
class Hold:
    """The server's offer to hold back the answer to a request; ``until`` is the end of a wait that has begun.

    It is a time of ``monotonic``, and None before the first wait.
    """

    until: float | None = None


class HeldBack(BaseException):  # not an Exception, so that nothing between the view and the server handles it
    """Tells the server to call the application again when ``condition`` is met, or at ``until``.

    ``not_before`` is a time of ``monotonic`` before which it need not look whether the condition is met.
    """

    def __init__(self, condition: WaitCondition, until: float, not_before: float = -inf) -> None:
        super().__init__()
        self.condition = condition
        self.until = until
        self.not_before = not_before


def let_hold_back(hold: Hold | None) -> None:
    """Has HeldBack raised for the request that this thread is about to serve, if there is nothing to say yet.

    With None, the thread itself waits.
    """
    _this_thread.hold = hold


class Waiting:
    """Waits for what views want to read; at most ``most_threads`` threads wait at once, where the server can't."""

    def __init__(self, wait_checker: WaitChecker, most_threads: int) -> None:
        self._wait_checker = wait_checker
        self._room = threading.BoundedSemaphore(most_threads)
        self._rests: dict[WaitCondition, float] = {}  # until when those rest whose last answer left little over

    def for_some(
        self, read: Callable[[], Found | None], ask: Ask, seconds: float, leaves_little: Callable[[Found], bool] = _no
    ) -> Found | None:
        """Reads until there is something, for at most ``seconds``; None when there is nothing.

        After an answer that left little over (``leaves_little``), a request that asks the same rests before it is
        answered: for REST times as long as that answer took. So while messages keep coming in, whoever asks again at
        once gets many at a time.

        Raises HeldBack, which the server expects.
        """
        hold: Hold | None = getattr(_this_thread, "hold", None)
        not_before = self._end_of_rest(ask()) if seconds and (hold is None or hold.until is None) else -inf
        began = time.monotonic()
        found = None if began < not_before else read()
        if found is None and seconds:
            until = began + seconds if hold is None or hold.until is None else hold.until
            if hold is not None and time.monotonic() < until:
                raise HeldBack(ask(), until, not_before)
            if hold is None:
                found, began = self._wait_here(read, ask, until, not_before)
        if found is not None and seconds and leaves_little(found):
            self._begin_rest(ask(), time.monotonic() - began)
        return found

    def _end_of_rest(self, condition: WaitCondition) -> float:
        return self._rests.get(condition, -inf)

    def _begin_rest(self, condition: WaitCondition, took: float) -> None:
        now = time.monotonic()
        rest = min(max(SHORTEST_REST, REST * took), LONGEST_REST)
        self._rests = {each: end for each, end in self._rests.items() if now < end} | {condition: now + rest}

    def _wait_here(
        self, read: Callable[[], Found | None], ask: Ask, until: float, not_before: float
    ) -> tuple[Found | None, float]:
        """Returns what was found, and when the read that found it began."""
        began = time.monotonic()
        if not self._room.acquire(blocking=False):
            return read(), began
        try:
            found = None
            while found is None and began < until:
                time.sleep(min(max(PAUSE, not_before - began), until - began))
                began = time.monotonic()
                if self._wait_checker.find_met([ask()]):
                    found = read()
            return found, began
        finally:
            self._room.release()
