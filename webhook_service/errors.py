"""Every error becomes JSON here: the domain's with its meaning, all others with nothing of the inside."""

import logging
from typing import Any

from flask import Flask, Response, g, jsonify
from werkzeug.exceptions import HTTPException

from webhook_service.domain import BodyTooLarge, PayloadInvalid, ServiceUnavailable, SignatureInvalid
from webhook_service.schemas.query import QueryInvalid

RETRY_AFTER = 5  # seconds; a provider that honours Retry-After comes back when a short outage is over

_log = logging.getLogger(__name__)


def init_errors(app: Flask) -> None:
    """Registers the handlers."""
    app.register_error_handler(SignatureInvalid, _invalid_signature)
    app.register_error_handler(PayloadInvalid, _invalid_payload)
    app.register_error_handler(BodyTooLarge, _body_too_large)
    app.register_error_handler(ServiceUnavailable, _unavailable)
    app.register_error_handler(QueryInvalid, _invalid_query)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def problem(status: int, detail: str, **more: Any) -> Response:
    """The one form that every error has."""
    response = jsonify(detail=detail, **more)
    response.status_code = status
    return response


def _invalid_signature(_error: SignatureInvalid) -> Response:
    return problem(401, "invalid signature")


def _invalid_payload(error: PayloadInvalid) -> Response:
    return problem(422, "invalid payload", errors=error.errors)


def _invalid_query(error: QueryInvalid) -> Response:
    return problem(422, "invalid query parameters", errors=error.errors)


def _body_too_large(_error: BodyTooLarge) -> Response:
    return problem(413, "body too large")


def _unavailable(error: ServiceUnavailable) -> Response:
    g.failure = _first_line(error.__cause__) if error.__cause__ else error.detail
    response = problem(503, error.detail)
    response.headers["Retry-After"] = str(RETRY_AFTER)
    return response


def _http_error(error: HTTPException) -> Response:
    if error.response is not None:
        return error.get_response()  # type: ignore[return-value]  # a redirect, which Flask made with its own class
    response = problem(error.code or 500, (error.name or "error").lower())
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    return response


def _unexpected(error: Exception) -> Response:
    _log.error("unexpected error", exc_info=error, extra={"fields": {"request_id": g.get("request_id")}})
    return problem(500, "internal error")


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
