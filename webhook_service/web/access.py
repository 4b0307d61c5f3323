"""Access to the service: by the API token or, while none is set, in protected mode, from this machine alone."""

import logging
import os
import re
from base64 import b64decode
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from ipaddress import IPv6Address, ip_address
from wsgiref.types import WSGIEnvironment

from flask import Blueprint, Flask, Request, Response, current_app, url_for
from werkzeug.exceptions import MethodNotAllowed

from webhook_service.domain.secrets import Secrets
from webhook_service.web.context import current_request
from webhook_service.web.errors import error_response
from webhook_service.web.peers import IS_SUPPORTED, users_of_peer
from webhook_service.web.redirects import redirect_to
from webhook_service.web.sessions import FORM_TOKEN, SESSION_COOKIE, Sessions, is_token

FORWARDING_HEADERS = (
    *("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto"),
    *("X-Forwarded-Server", "X-Real-IP", "X-Client-IP", "X-Cluster-Client-IP", "True-Client-IP"),
    *("CF-Connecting-IP", "Via"),
)
PROTECTED = "set API_TOKEN to let in anyone but this user of this machine"

ROOT_USER = 0

FindUsers = Callable[[WSGIEnvironment], Collection[int]]
"""Finds the users who may have made a request from this machine."""

_log = logging.getLogger(__name__)

_BEARER = "Bearer"
# Each has a header of its own: browsers read one challenge of a header, and ask for no password if it has two.
_CHALLENGES = ('Basic realm="webhook_service", charset="UTF-8"', _BEARER)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITE = frozenset({"same-origin", "none"})
# This is stricter than RFC 9110: a host that a library would tolerate or repair does not count as this machine.
_HOST = re.compile(r"(?P<name>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?")


class Guard(Enum):
    """The kinds of caller that a view can be for."""

    OPEN = auto()
    """Everyone: deliveries are proved by their signatures, and health checks reveal nothing."""
    UNFORWARDED = auto()
    """Callers that are not forwarded by a proxy."""
    API = auto()
    """Callers with the API or admin token; while none is set, processes of this user, or of root, on this machine."""
    PAGES = auto()
    """Those callers, and browsers that are signed in, which change something with the admin token alone, if one is set.

    Other browsers are led to the sign-in page.
    """
    ADMIN_CALLS = auto()
    """Callers of the API, of whom only those with the admin token, if one is set, may change anything."""


class GuardedBlueprint(Blueprint):
    """A blueprint that declares who may call its routes; ``guards`` has the exceptions, by the names of views."""

    def __init__(
        self,
        name: str,
        import_name: str,
        *,
        guard: Guard,
        guards: Mapping[str, Guard] | None = None,
        url_prefix: str | None = None,
        template_folder: str | None = None,
    ) -> None:
        super().__init__(name, import_name, url_prefix=url_prefix, template_folder=template_folder)
        self._guard = guard
        self._guards = dict(guards or {})

    def guard_of(self, view: str) -> Guard:
        """Returns the guard of a view."""
        return self._guards.get(view, self._guard)


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of access of one application.

    With an ``admin_token``, ``token`` is only good for reading and for taking messages. ``pages`` is the path of the
    dashboard, ``sign_in`` the endpoint of its sign-in page. ``unforwarded`` are endpoints outside of blueprints that
    are guarded by ``Guard.UNFORWARDED``. ``find_users`` finds the users who may have made a request from this machine.
    """

    token: Secrets | None
    admin_token: Secrets | None
    sessions: Sessions
    pages: str
    sign_in: str
    unforwarded: Collection[str]
    find_users: FindUsers = users_of_peer

    def refuse(self, request: Request, guard: Guard) -> Response | None:
        """Returns the answer to a request that the guard doesn't admit; None for one that it admits."""
        match guard:
            case Guard.OPEN:
                return None
            case Guard.UNFORWARDED:
                return _refuse_forwarded(request)
        if not self._admits(request, guard):
            return _lead_to(self.sign_in, request) if guard is Guard.PAGES and self.token else _refuse(self.token)
        if request.method in _SAFE_METHODS:
            return None
        if not self._is_own_call(request, guard):
            return error_response(403, "not from another site")
        if guard is not Guard.API and not self._is_admin(request, guard):
            how = ": sign out, then sign in with it" if guard is Guard.PAGES else ""
            return error_response(403, f"ADMIN_TOKEN needed{how}")
        return None

    def _admits(self, request: Request, guard: Guard) -> bool:
        if self.token is None:
            return _is_from_this_user(request, self.find_users)
        if _has_token(request, self.token) or (self.admin_token and _has_token(request, self.admin_token)):
            return True
        return guard is Guard.PAGES and self.sessions.is_open(request.cookies.get(SESSION_COOKIE))

    def _is_admin(self, request: Request, guard: Guard) -> bool:
        if self.admin_token is None or _has_token(request, self.admin_token):
            return True
        return guard is Guard.PAGES and self.sessions.is_of_admin(request.cookies.get(SESSION_COOKIE))

    def _is_own_call(self, request: Request, guard: Guard) -> bool:
        if guard is Guard.PAGES:
            return is_from_own_page(request, self.sessions)
        return not _is_from_other_site(request)


def init_access(app: Flask, access: Access) -> None:
    """Guards every request as its blueprint declares.

    A request that no route matches is guarded as a page among the pages, and as a call of the API anywhere else.
    """
    if access.token is None and not IS_SUPPORTED:
        _log.warning("without API_TOKEN every user of this machine may read: only Linux tells whose a connection is")

    @cache
    def guard_of(endpoint: str) -> Guard:
        if endpoint in access.unforwarded:
            return Guard.UNFORWARDED
        name, _, view = endpoint.rpartition(".")
        blueprint = app.blueprints.get(name)
        return blueprint.guard_of(view) if isinstance(blueprint, GuardedBlueprint) else Guard.API

    @app.before_request
    def check() -> Response | None:
        request = current_request()
        if _is_without_host(request.environ):
            return error_response(400, "no Host header")
        endpoint = _endpoint(request)
        if endpoint:
            guard = guard_of(endpoint)
        elif is_within(request.path, access.pages):
            guard = Guard.PAGES
        else:
            guard = Guard.API
        return access.refuse(request, guard)


def is_within(path: str, folder: str) -> bool:
    """Tells whether a path is that of a folder, or of something in it."""
    return path == folder or path.startswith(f"{folder}/")


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


def _is_without_host(environ: WSGIEnvironment) -> bool:
    """Tells whether a request lacks the Host header that HTTP/1.1 demands (RFC 9112, section 3.2)."""
    return "HTTP_HOST" not in environ and environ.get("SERVER_PROTOCOL") == "HTTP/1.1"


def _refuse_forwarded(request: Request) -> Response | None:
    if _is_forwarded(request) or (_is_loopback(_peer(request)) and not _is_loopback_host(_host(request))):
        return error_response(403, "not served through a proxy")
    return None


def _refuse(token: Secrets | None) -> Response:
    response = error_response(401, "API token needed" if token else PROTECTED)
    if token:
        for challenge in _CHALLENGES:
            response.headers.add("WWW-Authenticate", challenge)
    return response


def _lead_to(sign_in: str, request: Request) -> Response:
    """Redirects a browser to the sign-in page; where a script asks for a part of a page, has it load the whole page.

    The script is not challenged by Basic, as the browser would open its password box over the page.
    """
    if "HX-Request" in request.headers or "text/html" not in request.headers.get("Accept", ""):
        response = error_response(401, "API token needed")
        response.headers["WWW-Authenticate"] = _BEARER
        response.headers["HX-Refresh"] = "true"
        return response
    wanted = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect_to(url_for(sign_in, next=wanted), 303)


def _has_token(request: Request, token: Secrets) -> bool:
    presented = _presented_token(request)
    return presented is not None and is_token(presented, token)


def _presented_token(request: Request) -> bytes | None:
    """Returns the bytes of a Bearer token (RFC 6750, but any characters) or of a Basic password (RFC 7617)."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    match scheme.lower():
        case "bearer":
            return credentials.strip().encode("latin-1")  # WSGI has decoded it as Latin-1
        case "basic":
            try:
                return b64decode(credentials.strip(), validate=True).partition(b":")[2]
            except ValueError:
                return None
    return None


def _is_from_this_user(request: Request, find_users: FindUsers) -> bool:
    """Tells whether the peer is a process of this user or of root, on this machine, that used a loopback name.

    Checking the user keeps out a proxy on this machine that adds no header. Checking the name keeps out a web page that
    pointed a name of its own at this address (DNS rebinding).
    """
    if not _is_loopback(_peer(request)) or _is_forwarded(request) or not _is_loopback_host(_host(request)):
        return False
    if not IS_SUPPORTED:
        return True
    users = find_users(request.environ)
    return bool(users) and {os.geteuid(), ROOT_USER}.issuperset(users)


def _peer(request: Request) -> str:
    address: str = request.environ.get("werkzeug.proxy_fix.orig", request.environ).get("REMOTE_ADDR", "")
    return address


def _host(request: Request) -> str | None:
    return request.environ.get("HTTP_HOST")


def _is_forwarded(request: Request) -> bool:
    return any(name in request.headers for name in FORWARDING_HEADERS)


def _is_loopback_host(host: str | None) -> bool:
    if host is None:  # only in HTTP/1.0, which no browser uses: browsers always name the host
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

    Browsers say so in ``Sec-Fetch-Site``, except for old ones, and for all of them over plain HTTP to another machine
    (https://www.w3.org/TR/fetch-metadata/): then a form token proves it, which nobody else can use.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    presented = request.form.get(FORM_TOKEN)
    return not _is_from_other_site(request) and sessions.is_form_token(presented, credential_of(request))


def credential_of(request: Request) -> str:
    """Returns the credential of a browser: its session cookie, else its Authorization header; empty without either."""
    return request.cookies.get(SESSION_COOKIE) or request.headers.get("Authorization", "")


def _is_from_other_site(request: Request) -> bool:
    """Tells whether a browser says that a page of another site makes the call; old browsers send only ``Origin``.

    https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Origin
    """
    if request.headers.get("Sec-Fetch-Site", "none") not in _OWN_SITE:
        return True
    origin = request.headers.get("Origin")
    return origin is not None and origin.partition("://")[2].lower() != (_host(request) or "").lower()
