"""A test client for a server: it is used like Flask's own client, but its requests go over a socket."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug.datastructures import EnvironHeaders
from werkzeug.test import Client

from tests.support.contract import CheckedForwardingClient
from tests.support.server import Server


class Forwarding:
    """A WSGI application that passes requests on to a server, and its answers back."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        headers = {name: value for name, value in EnvironHeaders(environ) if name != "Host"}
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        answer = self._server.request(environ["REQUEST_METHOD"], environ["RAW_URI"], body or None, headers)
        status = f"{answer.status} {answer.reason}"
        start_response(status, [(name, value) for name, value in answer.headers.items() if not _is_hop(name)])
        return [answer.data]


def client_of(server: Server) -> Client:
    """Returns a client whose requests the server answers."""
    return CheckedForwardingClient(Forwarding(server))


def _is_hop(name: str) -> bool:
    return name.lower() in {"connection", "transfer-encoding"}
