"""The form that all pages share: who may see them, and the headers that protect them."""

from http import HTTPStatus

from flask import Response, render_template, request

from webhook_service.web.access import Guard, GuardedBlueprint

# https://www.w3.org/TR/CSP3/: nothing but the service's own files, no script or style in a page, no frame around it.
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
    """A blueprint whose routes answer with pages for signed-in browsers, unless ``guard`` says otherwise."""

    def __init__(self, name: str, *, guard: Guard = Guard.BROWSERS) -> None:
        super().__init__(f"dashboard_{name}", __name__, guard=guard, template_folder="templates")
        self.after_request(_protect)
        self.after_request(_explain)


def is_for(target: str) -> bool:
    """Tells whether htmx asks for the part of a page with this ``id``; a whole page is asked for when it goes back."""
    headers = request.headers
    return headers.get("HX-Target") == target and "HX-History-Restore-Request" not in headers


def _explain(response: Response) -> Response:
    """Shows a browser an error as a page, or as a line where htmx asks for a part of one."""
    if response.status_code >= HTTPStatus.BAD_REQUEST and response.is_json and _is_browser():
        template = "_notice.html" if "HX-Request" in request.headers else "error.html"
        detail = str(response.get_json()["detail"]).capitalize() + "."
        response.set_data(render_template(template, status=response.status, result=detail))
        response.content_type = "text/html; charset=utf-8"
    return response


def _is_browser() -> bool:
    return "text/html" in request.headers.get("Accept", "")


def _protect(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["X-Content-Type-Options"] = "nosniff"
    # Pages hold messages, which belong on no disk but the database's, and differ by the part that is asked for.
    response.headers.setdefault("Cache-Control", "no-store")
    return response
