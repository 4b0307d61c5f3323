"""Turns every error into JSON: those of the domain with their meaning, all others without internal details."""

import logging
from typing import Any

from flask import Flask, Response, jsonify
from werkzeug.exceptions import HTTPException, ServiceUnavailable, default_exceptions

from webhook_service.domain.consumers import (
    ConsumerNotFound,
    LeaseEnded,
    NotInLease,
    StartNotFound,
    TooManyConsumers,
)
from webhook_service.domain.destinations import DestinationDeclared, DestinationNotFound
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.domain.results import Reason, Result
from webhook_service.domain.verdicts import Verdict
from webhook_service.schemas.body import BodyInvalid
from webhook_service.schemas.query import QueryInvalid
from webhook_service.web.context import current_request

RETRY_AFTER = 5  # seconds; by then a short outage is over, for providers that honour Retry-After

MALFORMED_REQUEST = "webhook_service.unreadable"
"""The key of the WSGI environment for a request that the server can't read: (status, cause)."""

_log = logging.getLogger(__name__)


def init_errors(app: Flask) -> None:
    """Registers the handlers."""
    app.before_request(_refuse_unreadable)
    app.register_error_handler(StorageUnavailable, _storage_unavailable)
    app.register_error_handler(QueryInvalid, _invalid_query)
    app.register_error_handler(BodyInvalid, _invalid_body)
    app.register_error_handler(ConsumerNotFound, lambda _error: error_response(404, "not found"))
    app.register_error_handler(DestinationNotFound, lambda _error: error_response(404, "not found"))
    app.register_error_handler(DestinationDeclared, lambda _error: error_response(409, "the destination is declared"))
    app.register_error_handler(LeaseEnded, lambda _error: error_response(409, "the lease has ended"))
    app.register_error_handler(TooManyConsumers, lambda _error: error_response(409, "too many consumers"))
    app.register_error_handler(StartNotFound, _message_not_found)
    app.register_error_handler(NotInLease, _not_in_lease)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def error_response(status: int, detail: str, **more: Any) -> Response:
    """Returns an error in the form that all errors have."""
    response = jsonify(detail=detail, **more)
    response.status_code = status
    return response


def refuse(verdict: Verdict) -> Response:
    """Answers a delivery that was not accepted."""
    if verdict.result is Result.INVALID_SIGNATURE:
        return error_response(401, "invalid signature")
    if verdict.result is Result.UNAVAILABLE:
        return _unavailable(verdict.detail or "unavailable")
    if verdict.reason is Reason.BODY_TOO_LARGE:
        return error_response(413, "body too large")
    return error_response(422, "invalid payload", errors=verdict.problems)


def _refuse_unreadable() -> None:
    request = current_request()
    if MALFORMED_REQUEST in request.environ:
        request.url_rule = None
        status, request.cause = request.environ[MALFORMED_REQUEST]
        raise ServiceUnavailable(retry_after=RETRY_AFTER) if status == 503 else default_exceptions[status]


def _storage_unavailable(error: StorageUnavailable) -> Response:
    current_request().cause = error.cause
    return _unavailable(error.detail)


def _unavailable(detail: str) -> Response:
    response = error_response(503, detail)
    response.headers["Retry-After"] = str(RETRY_AFTER)
    return response


def _invalid_query(error: QueryInvalid) -> Response:
    return error_response(422, "invalid query parameters", errors=error.problems)


def _invalid_body(error: BodyInvalid) -> Response:
    return error_response(422, "invalid body", errors=error.problems)


def _message_not_found(_error: StartNotFound) -> Response:
    return error_response(422, "invalid body", errors={"message_id": ["No such message."]})


def _not_in_lease(error: NotInLease) -> Response:
    errors = {f"dead.{message_id}": ["Not a message of the lease."] for message_id in error.message_ids}
    return error_response(422, "invalid body", errors=errors)


def _http_error(error: HTTPException) -> Response:
    if error.response is not None:
        return error.get_response()  # type: ignore[return-value]  # a redirect, which Flask made as its own class
    response = error_response(error.code or 500, (error.name or "error").lower())
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    return response


def _unexpected(error: Exception) -> Response:
    _log.error("unexpected error", exc_info=error, extra={"fields": {"request_id": current_request().request_id}})
    return error_response(500, "internal error")
