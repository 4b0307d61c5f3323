"""One JSON line a request, and every other line of the process in the same form.

Never in a line: message text, phone numbers, secrets, query strings.
"""

import logging
import re
import secrets
import sys
import time
from typing import Any

from flask import Flask, Response, g, request

from webhook_service.domain import Outcome, Verdict

REQUEST_ID_HEADER = "X-Request-ID"

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_log = logging.getLogger("webhook_service.request")


def logging_config(level: str) -> dict[str, Any]:
    """A ``logging.config`` dictionary: every logger, gunicorn's included, writes JSON lines to standard output."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": "pythonjsonlogger.orjson.OrjsonFormatter",
                "format": "%(levelname)s%(name)s%(message)s",
                "rename_fields": {"levelname": "level", "name": "logger"},
                "timestamp": "ts",
            }
        },
        "handlers": {"stdout": {"class": "logging.StreamHandler", "formatter": "json", "stream": sys.stdout}},
        "root": {"level": level, "handlers": ["stdout"]},
        "loggers": {
            "gunicorn.error": {"level": level, "handlers": ["stdout"], "propagate": False},
            "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
        },
    }


def init_logs(app: Flask) -> None:
    """Gives every request an ID and a line."""
    app.before_request(_start)
    app.after_request(_finish)


def _start() -> None:
    g.started = time.perf_counter()
    claimed = request.headers.get(REQUEST_ID_HEADER)
    g.request_id = claimed if claimed and _SANE_REQUEST_ID.fullmatch(claimed) else secrets.token_hex(16)


def _finish(response: Response) -> Response:
    response.headers[REQUEST_ID_HEADER] = g.request_id
    line = {
        "request_id": g.request_id,
        "method": request.method,
        "path": request.path,
        "status": response.status_code,
        "latency_ms": round((time.perf_counter() - g.started) * 1000, 3),
    }
    if "verdict" in g:
        line.update(_delivery_fields(g.verdict))
    if "failure" in g:
        line["failure"] = g.failure
    _log.info("request", extra=line)
    return response


def _delivery_fields(verdict: Verdict) -> dict[str, Any]:
    fields: dict[str, Any] = {"provider": verdict.provider, "result": verdict.result.value}
    if verdict.reason is not None:
        fields["reason"] = verdict.reason.value
    if verdict.outcomes:
        fields["message_id"] = verdict.message_id
        fields["dup"] = Outcome.CREATED not in verdict.outcomes
    if len(verdict.outcomes) > 1:
        fields["items"] = len(verdict.outcomes)
    return fields
