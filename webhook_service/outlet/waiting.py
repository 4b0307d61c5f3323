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
    """Tells the server to call the application again when ``condition`` is met, or at ``until``."""

    def __init__(self, condition: WaitCondition, until: float) -> None:
        super().__init__()
        self.condition = condition
        self.until = until


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
        self._caught_up: dict[WaitCondition, float] = {}  # when the condition was met and the answer left nothing over

    def for_some(
        self, read: Callable[[], Found | None], ask: Ask, seconds: float, leaves_little: Callable[[Found], bool] = _no
    ) -> Found | None:
        """Reads until there is something, for at most ``seconds``; None when there is nothing.

        After an answer that left little over (``leaves_little``), a request that asks the same within ``PAUSE`` waits
        for the next look. So while messages keep coming in, whoever asks again at once gets many at a time.

        Raises HeldBack, which the server expects.
        """
        hold: Hold | None = getattr(_this_thread, "hold", None)
        is_early = bool(seconds) and (hold is None or hold.until is None) and self._has_just_caught_up(ask())
        found = None if is_early else read()
        if found is None and seconds:
            until = time.monotonic() + seconds if hold is None or hold.until is None else hold.until
            if hold is not None and time.monotonic() < until:
                raise HeldBack(ask(), until)
            if hold is None:
                found = self._wait_here(read, ask, until)
        if found is not None and leaves_little(found):
            self._note_caught_up(ask())
        return found

    def _has_just_caught_up(self, condition: WaitCondition) -> bool:
        return time.monotonic() - self._caught_up.get(condition, -inf) < PAUSE

    def _note_caught_up(self, condition: WaitCondition) -> None:
        now = time.monotonic()
        self._caught_up = {each: at for each, at in self._caught_up.items() if now - at < PAUSE} | {condition: now}

    def _wait_here(self, read: Callable[[], Found | None], ask: Ask, until: float) -> Found | None:
        if not self._room.acquire(blocking=False):
            return read()
        try:
            found = None
            while found is None and (left := until - time.monotonic()) > 0:
                time.sleep(min(PAUSE, left))
                if self._wait_checker.find_met([ask()]):
                    found = read()
            return found
        finally:
            self._room.release()
