"""The form that all pages share: who may see them, and the headers that protect them."""

from flask import Response, request

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


def is_for(target: str) -> bool:
    """Tells whether htmx asks for the part of a page with this ``id``; a whole page is asked for when it goes back."""
    headers = request.headers
    return headers.get("HX-Target") == target and "HX-History-Restore-Request" not in headers


def _protect(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["X-Content-Type-Options"] = "nosniff"
    # Pages hold messages, which belong on no disk but the database's, and differ by the part that is asked for.
    response.headers.setdefault("Cache-Control", "no-store")
    return response
