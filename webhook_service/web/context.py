"""The request under way, with what the service notes of it."""

from time import perf_counter
from typing import cast

from flask import Request, request

from webhook_service.domain.verdicts import Verdict

ARRIVED = "webhook_service.arrived"
"""The key of the WSGI environment for the time at which a request arrived, of ``time.perf_counter``."""


class ServiceRequest(Request):
    """A request, and what its log line and the metrics say of it.

    ``verdict`` is that on a delivery; ``failure`` is what the database said when it was not available.
    """

    request_id: str = ""
    verdict: Verdict | None = None
    failure: str | None = None

    def seconds(self) -> float:
        """Returns the seconds since the request arrived."""
        return perf_counter() - self._arrived_at

    def start(self) -> None:
        """Begins to measure the time, unless the server has noted when the request arrived."""
        self._arrived_at: float = self.environ.get(ARRIVED) or perf_counter()


def current_request() -> ServiceRequest:
    """Returns the request that this thread works on.

    Each look through Flask's proxy costs up to a microsecond, so a hook takes the request from here once.
    """
    return cast("ServiceRequest", request._get_current_object())  # type: ignore[attr-defined]  # noqa: SLF001  # Werkzeug's way
