"""The pushes of one destination in this process: many at once but, where order matters, one at a time per sender."""

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf

from webhook_service.domain.destinations import Attempt, Failure, PushOrder, Retry
from webhook_service.domain.messages import StoredMessage
from webhook_service.outlet.breaker import FAILURES_TO_PAUSE

AT_RISK_LEAST = 20  # pushes to a destination under way or not recorded, even where ``concurrency`` is less

Push = Callable[[StoredMessage], Attempt]

_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class LeasedStretch:
    """A stretch of the feed that this process has leased; pushes of its messages may begin until ``deadline``.

    Everything up to ``after`` is done. ``done_by_id`` says which messages beyond it are done, in stored order.
    ``is_changed`` says whether the database lacks some of that. The lease was last extended at ``extended``. Times are
    those of the monotonic clock.
    """

    token: str
    after: int
    deadline: float
    extended: float
    done_by_id: dict[int, bool]
    is_changed: bool = False

    def __post_init__(self) -> None:
        self._cut_off_done()

    @property
    def done(self) -> list[int]:
        """The ids of the messages that are done although an earlier one is not."""
        return [feed_id for feed_id, is_done in self.done_by_id.items() if is_done]

    @property
    def is_complete(self) -> bool:
        """Tells whether every message is done."""
        return not self.done_by_id

    def finish(self, feed_id: int) -> None:
        """Notes that a message is done: it was pushed, or waits for another attempt."""
        self.done_by_id[feed_id] = True
        self.is_changed = True
        self._cut_off_done()

    def _cut_off_done(self) -> None:
        for first, done in list(self.done_by_id.items()):
            if not done:
                break
            self.after = first
            del self.done_by_id[first]


@dataclass(eq=False, slots=True)
class PushJob:
    """A message to push, from a stretch or for another attempt.

    Its push may begin from ``not_before`` on, and that of a retry only before ``until``, both on the monotonic clock.
    """

    message: StoredMessage
    leased: LeasedStretch | None = None
    retry: Retry | None = None
    not_before: float = 0.0
    until: float = inf

    def may_begin(self) -> bool:
        """Tells whether the message is still this forwarder's alone, so that its push may begin."""
        return time.monotonic() < (self.leased.deadline if self.leased else self.until)


@dataclass(frozen=True, slots=True)
class PushResult:
    """The result of a job; ``attempt`` is None where the message was not pushed and has to wait."""

    job: PushJob
    attempt: Attempt | None


class PushThreads:
    """Threads that push jobs. Where order is by sender, a failure makes that sender's later jobs wait as well.

    Pushes that are under way or not recorded are repeated if the process is killed. So there are never more of them
    than ``concurrency``, or AT_RISK_LEAST if that is less. ``ask_for_record`` is called in time for the threads to go
    on meanwhile.
    """

    def __init__(
        self, push: Push, *, concurrency: int, order: PushOrder, ask_for_record: Callable[[], None] = lambda: None
    ) -> None:
        self._push = push
        self._concurrency = concurrency
        self._at_risk_most = max(concurrency, AT_RISK_LEAST)
        self._ask_for_record = ask_for_record
        self._by_sender = order is PushOrder.SENDER
        self._changed = threading.Condition()
        self._ready: deque[PushJob] = deque()
        # Jobs behind a job of the same sender that is ready or under way.
        self._queued_by_sender: dict[str, deque[PushJob]] = {}
        self._failed: set[str] = set()  # senders with a failure that is not recorded yet
        self._results: list[PushResult] = []
        self._threads: list[threading.Thread] = []
        self._failures = 0  # in a row, since the last ones were recorded
        self._jobs = 0  # without a result yet
        self._under_way = 0
        self._unrecorded = 0  # pushes that have ended
        self._stopped = False

    @property
    def jobs(self) -> int:
        """Returns the number of jobs that have no result yet."""
        return self._jobs

    def add(self, jobs: Iterable[PushJob]) -> None:
        """Queues jobs, which come in stored order."""
        with self._changed:
            for job in jobs:
                self._jobs += 1
                self._queue(job)
            self._changed.notify_all()
        self.start_threads()

    def start_threads(self) -> None:
        """Starts the threads that the jobs need and that are not there yet."""
        missing = min(self._concurrency, self._jobs) - len(self._threads)
        new = [threading.Thread(target=self._work, daemon=True) for _ in range(missing)]
        self._threads += new
        for thread in new:
            thread.start()

    def take_results(self) -> list[PushResult]:
        """Returns the results of jobs since the last call."""
        with self._changed:
            results, self._results = self._results, []
        return results

    def forget_recorded(self) -> None:
        """Forgets the results that were taken, as they are recorded by now, and from now on the record decides."""
        with self._changed:
            self._failures = 0
            self._unrecorded = sum(result.attempt is not None for result in self._results)
            self._changed.notify_all()
            self._failed = {result.job.message.sender for result in self._results if not _succeeded(result)}

    def postpone_unbegun(self) -> None:
        """Puts off all jobs that have not begun."""
        with self._changed:
            postponed = [*self._ready, *(job for queue in self._queued_by_sender.values() for job in queue)]
            for job in self._ready:
                self._queued_by_sender.pop(job.message.sender, None)
            for queue in self._queued_by_sender.values():  # those left are of senders with a push under way
                queue.clear()
            self._ready.clear()
            for job in postponed:
                self._conclude(job, None)

    def stop(self) -> None:
        """Ends the threads once they have finished their pushes."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _queue(self, job: PushJob) -> None:
        sender = job.message.sender
        if not self._by_sender:
            self._ready.append(job)
        elif sender in self._failed:
            self._conclude(job, None)
        elif sender in self._queued_by_sender:
            self._queued_by_sender[sender].append(job)
        else:
            self._queued_by_sender[sender] = deque()
            self._ready.append(job)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            self._finish(job, self._attempt(job.message) if self._wait_for(job) else None)

    def _finish(self, job: PushJob, attempt: Attempt | None) -> None:
        with self._changed:
            self._under_way -= 1
            if attempt is not None:
                self._failures = 0 if attempt.is_accepted else self._failures + 1
                self._unrecorded += 1
                if self._unrecorded * 2 >= self._at_risk_most:
                    self._ask_for_record()
            self._conclude(job, attempt)
            if self._by_sender:
                self._go_on(job.message.sender, succeeded=attempt is not None and attempt.is_accepted)

    def _attempt(self, message: StoredMessage) -> Attempt:
        """Pushes a message; a bug is a failed attempt too, as a thread that dies leaves its job without a result."""
        now, began = datetime.now(UTC), time.monotonic()
        try:
            return self._push(message)
        except Exception as bug:
            # What an exception says may quote the message or the URL, so only where it was raised is logged.
            where = "".join(traceback.format_tb(bug.__traceback__))
            _log.error("a push raised %s\n%s", type(bug).__name__, where)
            return Attempt(now, time.monotonic() - began, failure=Failure.INTERNAL_ERROR)

    def may_go_on(self) -> bool:
        """Tells whether there is a job that may begin."""
        return bool(self._ready) and self._under_way + self._unrecorded < self._at_risk_most

    def _next(self) -> PushJob | None:
        with self._changed:
            while not self.may_go_on():
                if self._stopped:
                    return None
                self._changed.wait()
            self._under_way += 1
            return self._ready.popleft()

    def _wait_for(self, job: PushJob) -> bool:
        """Waits until a job may begin; tells whether it may still be pushed then."""
        pause = job.not_before - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        return job.may_begin() and not self._stopped and self._failures < FAILURES_TO_PAUSE

    def _conclude(self, job: PushJob, attempt: Attempt | None) -> None:
        self._jobs -= 1
        result = PushResult(job, attempt)
        self._results.append(result)
        if self._by_sender and not _succeeded(result):
            self._failed.add(job.message.sender)

    def _go_on(self, sender: str, *, succeeded: bool) -> None:
        """Lets the next job of a sender begin or, after a failure, puts off all of them."""
        behind = self._queued_by_sender[sender]
        if succeeded and behind:
            self._ready.append(behind.popleft())
            self._changed.notify()
            return
        del self._queued_by_sender[sender]
        for job in behind:
            self._conclude(job, None)


def _succeeded(result: PushResult) -> bool:
    return result.attempt is not None and result.attempt.is_accepted
