"""The request under way, with what the service notes of it."""

import re
from time import perf_counter
from typing import cast

from flask import Request, request

from webhook_service.domain.verdicts import Verdict

ARRIVED = "webhook_service.arrived"
"""The key of the WSGI environment for the time at which a request arrived, of ``time.perf_counter``."""

# What the log and the metrics say in place of what a client made up. A scanner's thousand paths and methods must not
# become a thousand series, and a path may hold a phone number.
UNMATCHED = "unmatched"
_OTHER_METHOD = "other"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}")


class ServiceRequest(Request):
    """A request, and what its log line and the metrics say of it.

    ``verdict`` is that on a delivery; ``failure`` is what the database said when it was not available. With
    ``is_routine`` it is one that an open page makes again and again: its line is only there for debugging.
    """

    request_id: str = ""
    verdict: Verdict | None = None
    failure: str | None = None
    is_routine: bool = False

    def rule(self) -> str:
        """Returns the rule that the path matches, such as ``/messages/<any_text:message_id>``."""
        return self.url_rule.rule if self.url_rule else UNMATCHED

    def known_method(self) -> str:
        """Returns the method, if it is one that HTTP has."""
        return self.method if self.method in _METHODS else _OTHER_METHOD

    def client(self) -> str | None:
        """Returns the client's address; None when what a proxy says is none, and on a UNIX socket."""
        address = self.remote_addr
        return address if address and _ADDRESS.fullmatch(address) else None

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
