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

FAILURES_TO_PAUSE = 10  # in a row, after which nothing more is pushed until they are recorded
AT_RISK_LEAST = 10  # pushes to a destination under way or not recorded, even if fewer may be under way

Push = Callable[[StoredMessage], Attempt]

_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Held:
    """A stretch of the feed that this process holds; pushes of its messages may begin until ``deadline``.

    Everything up to ``after`` is done. ``left`` says whether each message beyond it is done, by id and in stored order.
    ``is_changed`` says whether the database lacks some of that. The lease was last extended at ``extended``. Times are
    those of the monotonic clock.
    """

    token: str
    after: int
    deadline: float
    extended: float
    left: dict[int, bool]
    is_changed: bool = False

    def __post_init__(self) -> None:
        self._cut_off_done()

    @property
    def done(self) -> list[int]:
        """The ids of the messages that are done although an earlier one is not."""
        return [feed_id for feed_id, is_done in self.left.items() if is_done]

    def finish(self, feed_id: int) -> None:
        """Notes that a message is done: it was pushed, or waits for another attempt."""
        self.left[feed_id] = True
        self.is_changed = True
        self._cut_off_done()

    def _cut_off_done(self) -> None:
        for first, done in list(self.left.items()):
            if not done:
                break
            self.after = first
            del self.left[first]


@dataclass(eq=False, slots=True)
class Job:
    """A message to push, from a stretch or for another attempt.

    Its push may begin from ``not_before`` on, and that of a retry only before ``until``, both on the monotonic clock.
    """

    message: StoredMessage
    held: Held | None = None
    retry: Retry | None = None
    not_before: float = 0.0
    until: float = inf

    def may_begin(self) -> bool:
        """Tells whether the message is still this forwarder's alone, so that its push may begin."""
        return time.monotonic() < (self.held.deadline if self.held else self.until)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a job; ``attempt`` is None where the message was not pushed and has to wait."""

    job: Job
    attempt: Attempt | None


class Lanes:
    """Threads that push jobs. Where order is by sender, a failure makes that sender's later jobs wait as well.

    Pushes that are under way or not recorded are repeated if the process is killed. So there are never more of them
    than pushes may be under way. ``ask_for_record`` is called in time for the threads to go on meanwhile.
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
        self._ready: deque[Job] = deque()
        self._behind: dict[str, deque[Job]] = {}  # jobs behind a job of the same sender that is ready or under way
        self._failed: set[str] = set()  # senders with a failure that is not recorded yet
        self._outcomes: list[Outcome] = []
        self._threads: list[threading.Thread] = []
        self._failures = 0  # in a row, since the last ones were recorded
        self._jobs = 0  # without an outcome yet
        self._under_way = 0
        self._unrecorded = 0  # pushes that have ended
        self._stopped = False

    @property
    def jobs(self) -> int:
        """Returns the number of jobs that have no outcome yet."""
        return self._jobs

    def add(self, jobs: Iterable[Job]) -> None:
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

    def take_outcomes(self) -> list[Outcome]:
        """Returns the outcomes of jobs since the last call."""
        with self._changed:
            outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def forget_recorded(self) -> None:
        """Forgets the outcomes that were taken, as they are recorded by now, and from now on the record decides."""
        with self._changed:
            self._failures = 0
            self._unrecorded = sum(outcome.attempt is not None for outcome in self._outcomes)
            self._changed.notify_all()
            self._failed = {outcome.job.message.sender for outcome in self._outcomes if not _succeeded(outcome)}

    def give_back(self) -> None:
        """Puts off all jobs that have not begun."""
        with self._changed:
            given_back = [*self._ready, *(job for queue in self._behind.values() for job in queue)]
            for job in self._ready:
                self._behind.pop(job.message.sender, None)
            for queue in self._behind.values():  # those left are of senders with a push under way
                queue.clear()
            self._ready.clear()
            for job in given_back:
                self._conclude(job, None)

    def stop(self) -> None:
        """Ends the threads once they have finished their pushes."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _queue(self, job: Job) -> None:
        sender = job.message.sender
        if not self._by_sender:
            self._ready.append(job)
        elif sender in self._failed:
            self._conclude(job, None)
        elif sender in self._behind:
            self._behind[sender].append(job)
        else:
            self._behind[sender] = deque()
            self._ready.append(job)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            self._finish(job, self._attempt(job.message) if self._wait_for(job) else None)

    def _finish(self, job: Job, attempt: Attempt | None) -> None:
        with self._changed:
            self._under_way -= 1
            if attempt is not None:
                self._failures = 0 if attempt.accepted else self._failures + 1
                self._unrecorded += 1
                if self._unrecorded * 2 >= self._at_risk_most:
                    self._ask_for_record()
            self._conclude(job, attempt)
            if self._by_sender:
                self._go_on(job.message.sender, succeeded=attempt is not None and attempt.accepted)

    def _attempt(self, message: StoredMessage) -> Attempt:
        """Pushes a message; a bug is a failed attempt too, as a thread that dies leaves its job without an outcome."""
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

    def _next(self) -> Job | None:
        with self._changed:
            while not self.may_go_on():
                if self._stopped:
                    return None
                self._changed.wait()
            self._under_way += 1
            return self._ready.popleft()

    def _wait_for(self, job: Job) -> bool:
        """Waits until a job may begin; tells whether it may still be pushed then."""
        pause = job.not_before - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        return job.may_begin() and not self._stopped and self._failures < FAILURES_TO_PAUSE

    def _conclude(self, job: Job, attempt: Attempt | None) -> None:
        self._jobs -= 1
        outcome = Outcome(job, attempt)
        self._outcomes.append(outcome)
        if self._by_sender and not _succeeded(outcome):
            self._failed.add(job.message.sender)

    def _go_on(self, sender: str, *, succeeded: bool) -> None:
        """Lets the next job of a sender begin or, after a failure, puts off all of them."""
        behind = self._behind[sender]
        if succeeded and behind:
            self._ready.append(behind.popleft())
            self._changed.notify()
            return
        del self._behind[sender]
        for job in behind:
            self._conclude(job, None)


def _succeeded(outcome: Outcome) -> bool:
    return outcome.attempt is not None and outcome.attempt.accepted
