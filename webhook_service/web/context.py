"""The current request, with what the service notes about it."""

import re
from time import perf_counter
from typing import cast

from flask import Request, request

from webhook_service.domain.verdicts import Verdict

ARRIVED_AT = "webhook_service.arrived"
"""The key of the WSGI environment for the time at which a request arrived, by ``time.perf_counter``."""

# The log and the metrics say these in place of what a client made up: a scanner's thousand paths and methods must not
# become a thousand series, and a path may hold a phone number.
UNMATCHED = "unmatched"
_OTHER_METHOD = "other"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}")


class ServiceRequest(Request):
    """A request, and what its log line and the metrics say about it.

    ``verdict`` is the verdict on a delivery; ``cause`` is what the database said when it was not available, or the
    fault that gunicorn found. A request that ``is_routine`` is made again and again by an open page, and is logged only
    for debugging.
    """

    request_id: str = ""
    verdict: Verdict | None = None
    cause: str | None = None
    is_routine: bool = False

    def rule(self) -> str:
        """Returns the rule that the path matches, such as ``/messages/<any_text:message_id>``."""
        return self.url_rule.rule if self.url_rule else UNMATCHED

    def known_method(self) -> str:
        """Returns the method if HTTP has it, and ``other`` if not."""
        return self.method if self.method in _METHODS else _OTHER_METHOD

    def client(self) -> str | None:
        """Returns the client's address; None when a proxy named none that is valid, and on a UNIX socket."""
        address = self.remote_addr
        return address if address and _ADDRESS.fullmatch(address) else None

    def seconds(self) -> float:
        """Returns the seconds since the request arrived."""
        return perf_counter() - self._arrived_at

    def start(self) -> None:
        """Starts the clock: at the arrival of the request, if the server has noted that, or else now."""
        self._arrived_at: float = self.environ.get(ARRIVED_AT) or perf_counter()


def current_request() -> ServiceRequest:
    """Returns the request that this thread is working on.

    Each access through Flask's proxy costs up to a microsecond, so hooks call this once.
    """
    return cast("ServiceRequest", request._get_current_object())  # type: ignore[attr-defined]  # noqa: SLF001  # Werkzeug's way
