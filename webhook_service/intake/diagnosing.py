"""Looks for what would have made a refused signature match, apart from taking deliveries in and in little time."""

import logging
from collections.abc import Callable
from datetime import datetime
from queue import SimpleQueue
from threading import Lock, Thread
from time import monotonic, thread_time

from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.results import Reason
from webhook_service.domain.verdicts import Verdict
from webhook_service.providers.source import Source, Sources

SHARE = 0.005  # the part of a processor's time that diagnosing a source's refused deliveries may take
LEAST_PAUSE = 0.05  # seconds between two diagnoses for a source

NoteHint = Callable[[str, Reason | None, str, datetime], None]
"""Receives the hint for a refused delivery: the name of its source, the reason, the hint, and when it came."""

_log = logging.getLogger(__name__)


class Diagnosing:
    """Diagnoses refused deliveries in a thread of its own, which starts with the first, and reports the hints.

    When somebody floods a source's address with wrong signatures, only a few of them are diagnosed, and nobody else is
    delayed.
    """

    def __init__(self, sources: Sources, note_hint: NoteHint) -> None:
        self._sources = sources
        self._note_hint = note_hint
        self._refused: SimpleQueue[tuple[Delivery, Reason | None, str]] = SimpleQueue()
        self._next: dict[str, float] = {}  # times of monotonic, by source; infinite during a diagnosis
        self._start = Lock()
        self._thread: Thread | None = None

    def consider(self, verdict: Verdict, delivery: Callable[[], Delivery], request_id: str) -> None:
        """Has a refused delivery diagnosed, unless others of its source have used up the time; returns at once."""
        if monotonic() < self._next.get(verdict.source, 0.0):
            return
        refused = delivery()
        self._next[verdict.source] = float("inf")
        self._refused.put((refused, verdict.reason, request_id))
        with self._start:
            if self._thread is None:
                self._thread = Thread(target=self._run, name="diagnosing", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            delivery, reason, request_id = self._refused.get()
            begun = thread_time()
            source = self._sources[delivery.source]
            hint = _diagnose(source, delivery)
            if hint is not None:
                fields = {
                    "request_id": request_id,
                    "source": source.name,
                    "provider": source.provider.name,
                    "hint": hint,
                }
                _log.info("refused signature", extra={"fields": fields})
                self._note_hint(source.name, reason, hint, delivery.received_at)
            pause = max(LEAST_PAUSE, (thread_time() - begun) / SHARE)
            self._next[delivery.source] = monotonic() + pause


def _diagnose(source: Source, delivery: Delivery) -> str | None:
    try:
        return source.provider.diagnose(delivery)
    except Exception:
        _log.exception("diagnosis failed", extra={"fields": {"source": source.name, "provider": source.provider.name}})
        return None
