"""Counts what becomes of deliveries, apart from taking them in, and at little cost."""

import atexit
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from threading import Event, Lock, Thread

from webhook_service.domain.activity import Activity, DeliveryOutcome, outcome_of
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.domain.limits import WORD_MAX
from webhook_service.domain.results import Reason
from webhook_service.domain.statistics import Interval
from webhook_service.domain.verdicts import Verdict
from webhook_service.storage.database import Database
from webhook_service.storage.queries.activity import add_activity

PAUSE = 1.0  # seconds between two writes of the counts
PAUSE_WHILE_AWAY = 5.0  # seconds, after a write that failed
PATIENCE = 0.5  # seconds to wait for the turn to write

_log = logging.getLogger(__name__)


class Counting:
    """Counts deliveries by source, hour and outcome in memory, and adds the counts to the table of activity.

    A thread of its own, which starts with the first delivery, writes at most once a second, and only when there is
    something to write. What it can't write it keeps and tries again; no delivery is ever told of a failure. A process
    that is killed loses what it counted in its last second.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counted: dict[tuple[str, DeliveryOutcome, datetime], Activity] = {}
        self._lock = Lock()  # guards what is counted
        self._writing = Lock()  # held by the thread that writes
        self._is_due, self._is_stopped = Event(), Event()
        self._thread: Thread | None = None

    def count(self, verdicts: Iterable[Verdict]) -> None:
        """Counts deliveries that came just now; returns at once."""
        now = datetime.now(UTC)
        hour = Interval.HOUR.start_of(now)
        with self._lock:
            for verdict in verdicts:
                key = (verdict.source, outcome_of(verdict), hour)
                known = self._counted.get(key)
                if known is not None and verdict.reason is None:  # as most are; takes a third of the time of _add
                    known.count += 1
                    known.last_at = now
                else:
                    self._add(Activity(*key, 1, now, verdict.reason))
                for target in verdict.routed_to:
                    self._add(Activity(target, DeliveryOutcome.ROUTED, hour, 1, now))
            is_due = bool(self._counted)
        if is_due:
            self._wake()

    def note_hint(self, source: str, reason: Reason | None, hint: str, at: datetime) -> None:
        """Notes the hint for a refused delivery that came at ``at``: what would have made its signature right."""
        hour = Interval.HOUR.start_of(at)
        with self._lock:
            self._add(Activity(source, DeliveryOutcome.REFUSED, hour, 0, at, reason, hint[:WORD_MAX]))
        self._wake()

    def stop(self) -> None:
        """Ends the thread, and writes what is left in one attempt, which is all that an orderly end has time for."""
        self._is_stopped.set()
        self._is_due.set()
        self._write()

    def _add(self, new: Activity) -> None:
        key = (new.source, new.outcome, new.hour)
        known = self._counted.get(key)
        if known is None:
            self._counted[key] = new
        else:
            known.add(new)

    def _wake(self) -> None:
        if self._is_due.is_set():
            return
        self._is_due.set()
        with self._lock:
            if self._thread is None and not self._is_stopped.is_set():
                self._thread = Thread(target=self._run, name="counting", daemon=True)
                self._thread.start()
                atexit.register(self.stop)

    def _run(self) -> None:
        while not self._is_stopped.is_set():
            self._is_due.wait()
            is_written = self._write()
            self._is_stopped.wait(PAUSE if is_written else PAUSE_WHILE_AWAY)

    def _write(self) -> bool:
        """Writes the counts to the database; False when that has to be tried again."""
        with self._writing:
            counted = self._take()
            if not counted:
                return True
            try:
                with self._database.transaction(PATIENCE) as transaction:
                    add_activity(transaction, counted)
            except StorageUnavailable:
                self._put_back(counted)
                return False
            except Exception:
                _log.exception("activity can't be stored")
            return True

    def _take(self) -> list[Activity]:
        with self._lock:
            counted, self._counted = list(self._counted.values()), {}
            self._is_due.clear()
        return counted

    def _put_back(self, counted: list[Activity]) -> None:
        with self._lock:
            later, self._counted = self._counted, {}
            for each in (*counted, *later.values()):
                self._add(each)
            self._is_due.set()
