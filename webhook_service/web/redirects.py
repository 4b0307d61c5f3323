"""Redirects that are instances of Flask's own class of responses."""

from typing import cast

from flask import Response
from werkzeug.utils import redirect


def redirect_to(location: str, status: int = 302) -> Response:
    """Returns a redirect to a path of this service; 303 turns a POST into a GET."""
    return cast("Response", redirect(location, status, Response))
