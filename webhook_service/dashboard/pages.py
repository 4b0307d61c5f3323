"""The common part of all pages: the guard, the headers that protect them, and errors as pages."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, render_template, request, url_for

from webhook_service.web.access import Guard, GuardedBlueprint, is_within
from webhook_service.web.context import current_request
from webhook_service.web.redirects import redirect_to

DASHBOARD = "/dashboard"
"""The path of the dashboard; all of its pages but the root are in it."""

# https://www.w3.org/TR/CSP3/: only the service's own files, no scripts or styles within a page, and no frame around it.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


class Pages(GuardedBlueprint):
    """A blueprint whose routes answer with pages, for signed-in browsers unless ``guard`` says otherwise.

    A page answers at its address with a slash at the end and without. After a POST, the address of the action stays in
    the browser's address bar; a GET of it leads to the view ``home``.
    """

    def __init__(self, name: str, *, guard: Guard = Guard.PAGES, home: str | None = None) -> None:
        super().__init__(f"dashboard_{name}", __name__, guard=guard, template_folder="templates")
        self._home = home
        self.after_request(_protect)
        self.after_request(_explain)

    def add_url_rule(self, rule: str, *args: Any, **options: Any) -> None:
        """Adds a route that matches with a slash at its end and without.

        Otherwise Werkzeug would redirect from one to the other, to a full address, and here it does not know the host.
        """
        super().add_url_rule(rule, *args, strict_slashes=False, **options)
        if self._home and options.get("methods") == ["POST"]:
            super().add_url_rule(rule, "lead_home", self._lead_home, methods=["GET"], strict_slashes=False)

    def _lead_home(self, **_values: object) -> Response:
        return redirect_to(url_for(f".{self._home}"))


def init_pages(app: Flask) -> None:
    """Makes pages of the errors in the dashboard that belong to no route: unknown addresses and wrong methods."""

    @app.after_request
    def finish(response: Response) -> Response:
        current = current_request()
        if current.url_rule is None and is_within(current.path, DASHBOARD):
            return _protect(_explain(response))
        return response


def is_for(target: str) -> bool:
    """Tells whether htmx asks for the part of a page with this ``id``; to restore history, it asks for all of it."""
    headers = request.headers
    return headers.get("HX-Target") == target and "HX-History-Restore-Request" not in headers


def _explain(response: Response) -> Response:
    """Turns an error into a page for browsers, or into a notice where htmx asks for a part of a page."""
    if response.status_code >= HTTPStatus.BAD_REQUEST and response.is_json and _is_browser():
        template = "_notice.html" if "HX-Request" in request.headers else "error.html"
        response.set_data(render_template(template, status=response.status, result=_sentence(response.get_json())))
        response.content_type = "text/html; charset=utf-8"
    return response


def _sentence(error: Mapping[str, Any]) -> str:
    """Returns the text of an error, with what is wrong with each parameter."""
    problems = "".join(f" {name}: {' '.join(found)}" for name, found in error.get("errors", {}).items())
    detail = str(error["detail"])
    return f"{detail[:1].upper()}{detail[1:]}.{problems}"


def _is_browser() -> bool:
    """Tells whether a page is asked for: browsers name HTML in ``Accept``, and htmx, which takes anything, itself."""
    return "HX-Request" in request.headers or "text/html" in request.headers.get("Accept", "")


def _protect(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["X-Content-Type-Options"] = "nosniff"
    # Pages hold messages, which belong on no disk but the database's, and their content depends on the part asked for.
    response.headers.setdefault("Cache-Control", "no-store")
    return response
