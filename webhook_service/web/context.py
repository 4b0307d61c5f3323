"""The request under way, without Flask's proxies.

A look through ``flask.request`` or ``flask.g`` costs up to a microsecond each time, and on the way of a delivery there
would be a dozen of them: more than it takes to verify its signature.
"""

from typing import Any, cast

from flask import Request, g, request

ARRIVED = "webhook_service.arrived"
"""The key of the WSGI environment of the time at which a request arrived, of ``time.perf_counter``."""


def current_request() -> Request:
    """The request that this thread works on."""
    return cast("Request", request._get_current_object())  # type: ignore[attr-defined]  # noqa: SLF001  # Werkzeug's way


def current_notes() -> Any:
    """What is noted of it: ``started``, ``request_id``, and where there is one ``verdict`` or ``failure``."""
    return g._get_current_object()  # noqa: SLF001  # likewise
