"""The sign-in page, and signing out."""

import re

from flask import Response, abort, render_template, request, url_for

from webhook_service.dashboard.pages import DASHBOARD, Pages
from webhook_service.web.access import Guard, is_from_own_page
from webhook_service.web.context import current_request
from webhook_service.web.redirects import redirect_to
from webhook_service.web.sessions import SESSION_COOKIE, SESSION_LENGTH, Sessions

_PATH = re.compile(r"[!-\[\]-~]*")  # ASCII that is seen, but for the backslash, which browsers take for a slash


def sign_in_pages(sessions: Sessions) -> Pages:
    """Makes the routes for browsers that have no session yet, or end theirs."""
    pages = Pages("sign_in", guard=Guard.OPEN)

    @pages.get("/dashboard/sign-in")
    def show() -> Response | str:
        wanted = _own_page(request.args.get("next"))
        if sessions.is_open(request.cookies.get(SESSION_COOKIE)):
            return redirect_to(wanted, 303)
        return _page(sessions, wanted)

    @pages.post("/dashboard/sign-in")
    def sign_in() -> Response | tuple[str, int]:
        _check_sender(sessions)
        wanted = _own_page(request.form.get("next"))
        cookie = sessions.open(request.form.get("token", "").strip())
        if cookie is None:
            return _page(sessions, wanted, refused=True), 401
        response = redirect_to(wanted, 303)
        response.set_cookie(
            SESSION_COOKIE,
            cookie,
            max_age=SESSION_LENGTH,
            path=request.root_path + DASHBOARD,
            secure=request.is_secure,
            httponly=True,
            samesite="Lax",
        )
        return response

    @pages.post("/dashboard/sign-out")
    def sign_out() -> Response:
        _check_sender(sessions)
        response = redirect_to(url_for("dashboard_sign_in.show"), 303)
        response.delete_cookie(SESSION_COOKIE, path=request.root_path + DASHBOARD)
        return response

    return pages


def _page(sessions: Sessions, wanted: str, *, refused: bool = False) -> str:
    has_admin = sessions.has_admin_token
    return render_template("sign_in.html", wanted=wanted, refused=refused, has_admin=has_admin)


def _check_sender(sessions: Sessions) -> None:
    if not is_from_own_page(current_request(), sessions):
        abort(403)


def _own_page(wanted: str | None) -> str:
    """Returns the page to show after signing in: never one of another site, nor what can't stand in a header."""
    home = url_for("dashboard_home.home")
    is_own = wanted is not None and wanted.startswith(home) and _PATH.fullmatch(wanted)
    return wanted if wanted and is_own else home
