"""Flask as this service uses it: with its own class of requests, converters for routes, and JSON."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import BaseConverter, IntegerConverter, Map, MapAdapter

from webhook_service.domain.limits import ROW_ID_MAX
from webhook_service.web.context import ServiceRequest
from webhook_service.web.json_provider import OrjsonProvider


class AnyText(BaseConverter):
    """Matches the whole rest of a path, slashes included."""

    regex = "(?s:.+)"
    part_isolating = False


class RowId(IntegerConverter):
    """Matches a whole number that both databases can hold as an id."""

    def __init__(self, map: Map) -> None:  # noqa: A002  # Werkzeug's name
        super().__init__(map, max=ROW_ID_MAX)


class NoSessions(SessionInterface):
    """Flask's sessions, which nothing here uses: each request has the same empty one, and can write nothing to it."""

    _empty = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002  # Flask's
        """Returns the empty session."""
        return self._empty


class WebhookService(Flask):
    """Flask without what this service does not need: docs/decisions/0006 has the figures."""

    request_class = ServiceRequest
    json_provider_class = OrjsonProvider
    session_interface = NoSessions()

    def __init__(self, import_name: str, *, max_body_bytes: int) -> None:
        super().__init__(import_name, static_folder=None)
        self.config["MAX_CONTENT_LENGTH"] = max_body_bytes
        self.url_map.merge_slashes = False
        self.url_map.converters["any_text"] = AnyText
        self.url_map.converters["row_id"] = RowId

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Returns the function as it is: none here is async, and Flask would check that six times for each request."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Makes an adapter that matches by path and method alone: no route depends on the host or the scheme."""
        if request is None:
            return super().create_url_adapter(request)
        return MapAdapter(
            self.url_map,
            server_name="",
            script_name=request.root_path or "/",
            subdomain="",
            url_scheme=request.scheme,
            path_info=request.path,
            default_method=request.method,
        )
