"""The service with its group commit off: a transaction for each delivery, and SQLite's own locks to wait for.

That is what a service usually does. The lock that queues the writers is a part of the group commit.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import webhook_service.app
import webhook_service.storage.database
import webhook_service.storage.sqlite
from webhook_service.inbox import Inbox
from webhook_service.storage.database import Database


class _Alone:
    """Stands in for the group: whoever comes is committed alone."""

    def __init__(self, commit: Callable[[Callable[[], list[Any]]], Sequence[Any]]) -> None:
        self._commit = commit

    def offer(self, item: Any) -> Any:
        """What became of the item."""
        return self._commit(lambda: [item])[0]


class InsertPerRequest(Inbox):
    """An inbox in which nobody shares a transaction."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        database._backend.turn_to_write = nullcontext  # type: ignore[method-assign]  # noqa: SLF001  # see above
        self._group = _Alone(self._commit)  # type: ignore[assignment]  # all that the inbox asks of a group


webhook_service.storage.sqlite.WRITER_TIMEOUT = 5.0  # sqlite3's default, as it is used everywhere
webhook_service.storage.database.WRITER_CONNECTIONS = 16  # one for each thread
webhook_service.app.Inbox = InsertPerRequest  # type: ignore[misc]  # the one wiring that differs
app = webhook_service.app.create_app()
