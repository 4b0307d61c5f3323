"""Records which secrets sign, so that the operator can see when one that is being rotated out is no longer needed."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from threading import Lock

from webhook_service.domain.errors import StorageError
from webhook_service.domain.results import Result
from webhook_service.domain.verdicts import Verdict
from webhook_service.providers.source import Sources
from webhook_service.storage.database import Database
from webhook_service.storage.queries.secrets import write_secret_uses

PAUSE = timedelta(minutes=1)  # between two records of the use of a secret
PATIENCE = 0.2  # seconds to wait for the turn to write


class SecretUseRecorder:
    """Records when secrets sign, for the sources that have several; for any other source there is nothing to decide.

    A use is stored at once, unless this process has stored one within the last minute. A use that can't be stored is
    made up for by the next one.
    """

    def __init__(self, sources: Sources, database: Database) -> None:
        self._watched = frozenset(name for name, source in sources.items() if len(source.provider.secrets.listed) > 1)
        self._database = database
        self._written: dict[tuple[str, str], datetime] = {}
        self._lock = Lock()

    def record(self, verdicts: Iterable[Verdict]) -> None:
        """Stores by which secrets deliveries were verified just now, unless the database can't take it."""
        if not self._watched:
            return
        now = datetime.now(UTC)
        seen = {
            (verdict.source, verdict.secret): now
            for verdict in verdicts
            if verdict.secret is not None
            and verdict.source in self._watched
            and verdict.result is not Result.UNAVAILABLE
        }
        with self._lock:
            due = {use: at for use, at in seen.items() if use not in self._written or now >= self._written[use] + PAUSE}
            self._written.update(due)
        if not due:
            return
        try:
            with self._database.transaction(PATIENCE) as transaction:
                write_secret_uses(transaction, due)
        except StorageError:
            with self._lock:
                for use in due:
                    self._written.pop(use, None)
