"""Counts what becomes of deliveries, apart from taking them in, and at little cost."""

import atexit
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from time import monotonic

from webhook_service.domain.activity import Activity, DeliveryOutcome, outcome_of
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.domain.limits import WORD_MAX
from webhook_service.domain.messages import Duplicates
from webhook_service.domain.results import Reason
from webhook_service.domain.statistics import Interval
from webhook_service.domain.verdicts import Verdict
from webhook_service.storage.database import Database
from webhook_service.storage.queries.activity import add_activity
from webhook_service.storage.queries.duplicates import add_duplicates
from webhook_service.storage.writing import Transaction

PAUSE = 1.0  # seconds between two writes of the counts
PAUSE_WHILE_AWAY = 5.0  # seconds, after a write that failed
PATIENCE = 0.5  # seconds to wait for the turn to write
DUPLICATES_AT_A_TIME = 200  # messages whose duplicates one transaction writes, so that deliveries don't wait for it
DUPLICATES_MOST = 100_000  # messages whose duplicates are counted in memory

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Counts:
    """Deliveries by source, outcome and hour, and duplicates by message ID."""

    activity: dict[tuple[str, DeliveryOutcome, datetime], Activity] = field(default_factory=dict)
    duplicates: dict[str, Duplicates] = field(default_factory=dict)
    uncounted: int = 0  # duplicates of messages that were too many

    def add(self, new: Activity) -> None:
        key = (new.source, new.outcome, new.hour)
        known = self.activity.get(key)
        if known is None:
            self.activity[key] = new
        else:
            known.add(new)

    def add_duplicates(self, message_id: str, new: Duplicates) -> None:
        known = self.duplicates.get(message_id)
        if known is not None:
            known.add(new)
        elif len(self.duplicates) < DUPLICATES_MOST:
            self.duplicates[message_id] = new
        else:
            self.uncounted += new.count

    def take(self) -> "_Counts":
        """Takes out what one transaction writes: all but the duplicates of messages beyond DUPLICATES_AT_A_TIME."""
        number = min(len(self.duplicates), DUPLICATES_AT_A_TIME)
        duplicates = dict(self.duplicates.popitem() for _ in range(number))
        taken = _Counts(self.activity, duplicates, self.uncounted)
        self.activity, self.uncounted = {}, 0
        return taken

    def put_back(self, taken: "_Counts") -> None:
        """Adds what could not be written, which is older than the rest."""
        later, self.activity = self.activity, {}
        for each in (*taken.activity.values(), *later.values()):
            self.add(each)
        for message_id, duplicates in taken.duplicates.items():
            self.add_duplicates(message_id, duplicates)

    def write(self, transaction: Transaction) -> None:
        """Adds the counts to those in the tables."""
        if self.activity:
            add_activity(transaction, self.activity.values())
        if self.duplicates:
            add_duplicates(transaction, self.duplicates)

    def __bool__(self) -> bool:
        return bool(self.activity or self.duplicates)


class ActivityRecorder:
    """Counts deliveries by source, hour and outcome, and duplicates by message, and adds the counts to their tables.

    Counts are kept in memory. A thread of its own, which starts with the first delivery, writes them once a second, and
    only when there is something to write. While the database is away it keeps them and tries again; no delivery is ever
    told of a failure. A process that is killed loses what it counted in its last second.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counted = _Counts()
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
                known = self._counted.activity.get(key)
                if known is not None and verdict.reason is None:  # as most are; takes a third of the time of add
                    known.count += 1
                    known.last_at = now
                else:
                    self._counted.add(Activity(*key, 1, now, verdict.reason))
                for message_id in verdict.duplicates:
                    self._counted.add_duplicates(message_id, Duplicates(1, now))
                for target in verdict.routed_to:
                    self._counted.add(Activity(target, DeliveryOutcome.ROUTED, hour, 1, now))
            is_due = bool(self._counted)
        if is_due:
            self._wake()

    def note_hint(self, source: str, reason: Reason | None, hint: str, at: datetime) -> None:
        """Notes the hint for a refused delivery that came at ``at``: what would have made its signature right."""
        hour = Interval.HOUR.start_of(at)
        with self._lock:
            self._counted.add(Activity(source, DeliveryOutcome.REFUSED, hour, 0, at, reason, hint[:WORD_MAX]))
        self._wake()

    def stop(self) -> None:
        """Ends the thread, and writes what is left, unless the database is away: an orderly end has no time to wait."""
        self._is_stopped.set()
        self._is_due.set()
        while self._is_due.is_set() and self._write() != PAUSE_WHILE_AWAY:
            pass

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
            self._is_stopped.wait(self._write())

    def _write(self) -> float:
        """Writes what one transaction takes; returns the seconds to wait before the next."""
        with self._writing:
            counted, is_all = self._take()
            if not counted:
                return PAUSE
            begun = monotonic()
            try:
                with self._database.transaction(PATIENCE) as transaction:
                    counted.write(transaction)
            except StorageUnavailable:
                self._put_back(counted)
                return PAUSE_WHILE_AWAY
            except Exception:
                _log.exception("counts can't be stored")
            return PAUSE if is_all else monotonic() - begun  # so that others have half of the time

    def _take(self) -> tuple[_Counts, bool]:
        """Takes out what one transaction writes; also tells whether that is all there is."""
        with self._lock:
            taken = self._counted.take()
            is_all = not self._counted
            if is_all:
                self._is_due.clear()
        if taken.uncounted:
            _log.warning("duplicates of too many messages", extra={"fields": {"uncounted": taken.uncounted}})
        return taken, is_all

    def _put_back(self, taken: _Counts) -> None:
        with self._lock:
            self._counted.put_back(taken)
            self._is_due.set()
