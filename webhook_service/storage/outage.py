"""An outage of a server: one request at a time tries the server again, and the others fail at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from webhook_service.domain.errors import StorageUnavailable

PAUSE = 1.0  # seconds from a failed attempt to the next


class Outage:
    """The result of the last attempt to connect.

    If each request waited for a server that does not answer, together they would hold all threads, and deliveries would
    have to wait for a thread.
    """

    def __init__(self) -> None:
        self._detail: str | None = None
        self._next_attempt = 0.0

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Runs a block that connects; after a failure, raises StorageUnavailable instead until an attempt is due."""
        if self._detail is not None:
            if monotonic() < self._next_attempt:
                raise StorageUnavailable(self._detail)
            self._next_attempt = float("inf")
        try:
            yield
        except StorageUnavailable as unavailable:
            self._detail = unavailable.detail
            raise
        else:
            self._detail = None
        finally:
            self._next_attempt = monotonic() + PAUSE
