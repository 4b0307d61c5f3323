"""Flask as this service uses it: with its own class of requests, converters for routes, and JSON."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import BaseConverter, IntegerConverter, Map, MapAdapter, Rule

from webhook_service.domain.limits import ROW_ID_MAX
from webhook_service.web.context import ServiceRequest
from webhook_service.web.json_provider import OrjsonProvider

MOST_FOUND = 256  # routes that are remembered: those of deliveries are few, and those of messages many
FoundRoutes = dict[tuple[str, str], tuple[Rule, Mapping[str, Any]]]
"""The route and its parameters, by method and path."""


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


class RouteMatcher(MapAdapter):
    """Matches the path and the method of a request, and remembers what Werkzeug has found for the latest of them."""

    def __init__(self, routes: Map, found: FoundRoutes, request: Request) -> None:
        super().__init__(
            routes,
            server_name="",
            script_name=request.root_path or "/",
            subdomain="",
            url_scheme=request.scheme,
            path_info=request.path,
            default_method=request.method,
        )
        self.found = found

    def match(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the route and its parameters, as Flask asks for them, or whatever else Werkzeug is asked for."""
        if args or kwargs != {"return_rule": True}:
            return super().match(*args, **kwargs)
        key = self.default_method, self.path_info
        rule, parameters = self.found.get(key) or self._find(key)
        return rule, dict(parameters)

    def _find(self, key: tuple[str, str]) -> tuple[Rule, Mapping[str, Any]]:
        route = super().match(return_rule=True)
        if len(self.found) >= MOST_FOUND:
            self.found.clear()
        self.found[key] = route
        return route


class WebhookService(Flask):
    """Flask without what this service does not need: docs/decisions/0006 has the figures."""

    request_class = ServiceRequest
    json_provider_class = OrjsonProvider
    session_interface = NoSessions()

    def __init__(self, import_name: str, *, max_body_bytes: int) -> None:
        super().__init__(import_name, static_folder=None)
        self._found_routes: FoundRoutes = {}
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
        return RouteMatcher(self.url_map, self._found_routes, request)
