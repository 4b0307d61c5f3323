"""Answers to requests that the server can't read; the application logs and counts them like any other."""

from http import HTTPStatus
from wsgiref.types import WSGIApplication

from werkzeug import Response
from werkzeug.test import create_environ

from webhook_service.web.errors import MALFORMED_REQUEST


def answer_malformed(app: WSGIApplication, status: HTTPStatus, cause: str, client: str) -> bytes:
    """Returns the bytes of the application's answer. The application is shown nothing of the request.

    ``cause`` says what is wrong, for the log; ``client`` is the client's address.
    """
    environ = create_environ(method="UNREADABLE", environ_overrides={"REMOTE_ADDR": client})
    environ[MALFORMED_REQUEST] = status.value, cause
    response = Response.from_app(app, environ, buffered=True)
    headers = "".join(f"{name}: {value}\r\n" for name, value in response.headers)
    return f"HTTP/1.1 {response.status}\r\n{headers}Connection: close\r\n\r\n".encode("latin-1") + response.get_data()
