"""Access: protected mode without an API token, the token with one."""

import re
from base64 import b64decode
from collections.abc import Collection
from enum import Enum, auto
from functools import cache
from ipaddress import IPv6Address, ip_address

from flask import Blueprint, Flask, Request, Response, current_app, url_for
from werkzeug.exceptions import MethodNotAllowed

from webhook_service.domain.secrets import Secrets
from webhook_service.web.context import current_request
from webhook_service.web.errors import problem
from webhook_service.web.redirects import redirect_to
from webhook_service.web.sessions import FORM_TOKEN, SESSION_COOKIE, Sessions, is_token

FORWARDING_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")
PROTECTED = "set API_TOKEN to let anyone but this machine in"

_CHALLENGE = 'Basic realm="webhook_service", charset="UTF-8", Bearer'
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITE = frozenset({"same-origin", "none"})
# Stricter than RFC 9110: what a library would forgive or repair is no name of this machine.
_HOST = re.compile(r"(?P<name>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?")


class Guard(Enum):
    """Who may call."""

    OPEN = auto()
    """Everyone: deliveries prove themselves by their signatures, and health checks tell nothing."""
    UNFORWARDED = auto()
    """Whoever is not forwarded by a proxy."""
    READERS = auto()
    """Whoever has the API token; while none is set, this machine."""
    BROWSERS = auto()
    """Readers, and browsers that are signed in; others are led to the sign-in page."""


class GuardedBlueprint(Blueprint):
    """A blueprint that declares who may call its routes."""

    def __init__(
        self,
        name: str,
        import_name: str,
        *,
        guard: Guard,
        url_prefix: str | None = None,
        template_folder: str | None = None,
    ) -> None:
        super().__init__(name, import_name, url_prefix=url_prefix, template_folder=template_folder)
        self.guard = guard


def init_access(
    app: Flask, token: Secrets | None, sessions: Sessions, *, sign_in: str, unforwarded: Collection[str]
) -> None:
    """Guards every request as its blueprint declares; one that no route matches is for readers.

    ``sign_in`` is the endpoint of the sign-in page. ``unforwarded`` are the endpoints of no blueprint that are for
    whoever is not forwarded by a proxy.
    """

    @cache
    def guard_of(endpoint: str) -> Guard:
        if endpoint in unforwarded:
            return Guard.UNFORWARDED
        blueprint = app.blueprints.get(endpoint.rpartition(".")[0])
        return blueprint.guard if isinstance(blueprint, GuardedBlueprint) else Guard.READERS

    @app.before_request
    def check() -> Response | None:
        request = current_request()
        guard = guard_of(_endpoint(request))
        match guard:
            case Guard.OPEN:
                return None
            case Guard.UNFORWARDED:
                return problem(403, "not served through a proxy") if _is_forwarded(request) else None
        reads = _has_token(request, token) if token else _is_from_this_machine(request)
        if not reads and not (guard is Guard.BROWSERS and sessions.is_open(request.cookies.get(SESSION_COOKIE))):
            return _lead_to(sign_in, request) if guard is Guard.BROWSERS and token else _refuse(token)
        if request.method not in _SAFE_METHODS:
            own = is_from_own_page(request, sessions) if guard is Guard.BROWSERS else not _is_from_other_site(request)
            return None if own else problem(403, "not from another site")
        return None


def _endpoint(request: Request) -> str:
    """Returns the endpoint of a request, whatever its method; empty when no route has its path."""
    if request.endpoint is not None:
        return request.endpoint
    wrong_method = request.routing_exception
    if isinstance(wrong_method, MethodNotAllowed) and wrong_method.valid_methods:
        adapter = current_app.create_url_adapter(request)
        if adapter is not None:
            return str(adapter.match(method=next(iter(wrong_method.valid_methods)))[0])
    return ""


def _refuse(token: Secrets | None) -> Response:
    response = problem(401, "API token needed" if token else PROTECTED)
    if token:
        response.headers["WWW-Authenticate"] = _CHALLENGE
    return response


def _lead_to(sign_in: str, request: Request) -> Response:
    """Sends a browser to the sign-in page; a part of a page can't show it, so htmx loads the whole page anew."""
    if "HX-Request" in request.headers or "text/html" not in request.headers.get("Accept", ""):
        response = problem(401, "API token needed")
        response.headers["WWW-Authenticate"] = _CHALLENGE
        response.headers["HX-Refresh"] = "true"
        return response
    wanted = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect_to(url_for(sign_in, next=wanted), 303)


def _has_token(request: Request, token: Secrets) -> bool:
    presented = _presented_token(request)
    return presented is not None and is_token(presented, token)


def _presented_token(request: Request) -> bytes | None:
    """The bytes of a Bearer token (RFC 6750, but any characters) or of a Basic password (RFC 7617)."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    match scheme.lower():
        case "bearer":
            return credentials.strip().encode("latin-1")  # as WSGI has decoded it
        case "basic":
            try:
                return b64decode(credentials.strip(), validate=True).partition(b":")[2]
            except ValueError:
                return None
    return None


def _is_from_this_machine(request: Request) -> bool:
    """The peer is on the loopback address, no proxy stands between, and it was addressed by a loopback name.

    The last keeps out a web page that pointed a name of its own at this address (DNS rebinding).
    """
    peer = request.environ.get("werkzeug.proxy_fix.orig", request.environ).get("REMOTE_ADDR", "")
    return _is_loopback(peer) and not _is_forwarded(request) and _is_loopback_host(request.environ.get("HTTP_HOST"))


def _is_forwarded(request: Request) -> bool:
    return any(name in request.headers for name in FORWARDING_HEADERS)


def _is_loopback_host(host: str | None) -> bool:
    if host is None:  # HTTP/1.0: a browser always says whom it means
        return True
    named = _HOST.fullmatch(host)
    return named is not None and (named["name"].lower() == "localhost" or _is_loopback(named["name"].strip("[]")))


def _is_loopback(address: str) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        return parsed.ipv4_mapped.is_loopback
    return parsed.is_loopback


def is_from_own_page(request: Request, sessions: Sessions) -> bool:
    """Tells whether a request was made by one of the service's own pages.

    Browsers say so in ``Sec-Fetch-Site``, except old ones, and any of them over plain HTTP to another machine
    (https://www.w3.org/TR/fetch-metadata/): there a form token proves it.
    """
    site = request.headers.get("Sec-Fetch-Site")
    return sessions.is_form_token(request.form.get(FORM_TOKEN)) if site is None else site == "same-origin"


def _is_from_other_site(request: Request) -> bool:
    return request.headers.get("Sec-Fetch-Site", "none") not in _OWN_SITE
