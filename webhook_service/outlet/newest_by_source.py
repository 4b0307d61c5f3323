"""The newest message of each source, so that a reader of one source is not woken by the messages of others."""

from threading import Lock

from webhook_service.storage.queries.messages import newest_by_source
from webhook_service.storage.writing import Transaction

MOST_BEHIND = 10_000  # messages that are looked through; after more, it begins anew


class NewestBySource:
    """The newest message of each source among those that came since it began; test messages are left out.

    Each message is looked at once, however many readers wait.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._newest: dict[str, int] = {}
        self._begun: int | None = None
        self._reached = 0

    def follow(self, snapshot: Transaction, newest: int) -> None:
        """Looks at the messages that came since the last call, up to the one with the id ``newest``."""
        with self._lock:
            # A smaller id than before is that of a database which was restored.
            if self._begun is None or not self._reached <= newest <= self._reached + MOST_BEHIND:
                self._newest, self._begun = {}, newest
            else:
                self._newest |= newest_by_source(snapshot, self._reached, newest)
            self._reached = newest

    def has_come(self, source: str, after: int) -> bool:
        """Tells whether a message of a source may have come after the one with the id ``after``."""
        with self._lock:
            is_known = self._begun is not None and after >= self._begun
            return not is_known or self._newest.get(source, 0) > after
