"""Deliveries from WSGI requests (PEP 3333), for the view and for the gunicorn worker, which reads them in rounds."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.sources import source_at_path
from webhook_service.intake.take_in import Intake

Environ = Mapping[str, Any]

VERDICT = "webhook_service.verdict"
"""The key of the WSGI environment under which a delivery that was taken in by the worker carries its verdict."""

_WITHOUT_HTTP = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})


class EnvironHeaders:
    """The headers of a WSGI request; a name is looked up whatever its case."""

    def __init__(self, environ: Environ) -> None:
        self._environ = environ

    def get(self, name: str, /) -> str | None:
        """Returns the value of a header, as bytes decoded as Latin-1; None when it was not sent."""
        key = name.upper().replace("-", "_")
        value: str | None = self._environ.get(key if key in _WITHOUT_HTTP else f"HTTP_{key}")
        return value


def delivery_in(environ: Environ, raw: bytes, intake: Intake) -> Delivery | None:
    """Returns the delivery that a POST holds; None if it is too large, or not at the address of a configured source.

    None as well if the request names no host, since the view may refuse it for that, and then none of it may be stored.
    """
    if "HTTP_HOST" not in environ:
        return None
    name = source_at_path(environ["PATH_INFO"])
    if name is None or name not in intake.sources or len(raw) > intake.max_body_bytes:
        return None
    return read_delivery(environ, name, raw)


def read_delivery(environ: Environ, source: str, raw: bytes) -> Delivery:
    """Returns the delivery in a request to the address of a source, whose body is given as it was sent."""
    return Delivery(source, raw, EnvironHeaders(environ), _target(environ), datetime.now(UTC))


def _target(environ: Environ) -> str:
    """Returns the path and query as the provider wrote them, which a signature may cover; gunicorn keeps RAW_URI."""
    raw: str = environ.get("RAW_URI", "")
    if raw.startswith("/"):
        return raw
    path = quote((environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1"))
    query: str = environ.get("QUERY_STRING", "")
    return f"{path}?{query}" if query else path
