"""One JSON line a request, and every other line of the process in the same form.

Never in a line: message text, phone numbers, secrets, query strings.
"""

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from random import getrandbits
from typing import Any

import orjson
from flask import Flask, Response

from webhook_service.domain.results import Outcome
from webhook_service.domain.verdicts import Verdict
from webhook_service.web.context import current_request

REQUEST_ID_HEADER = "X-Request-ID"

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_STDOUT = 1
_log = logging.getLogger("webhook_service.request")
_collecting = threading.local()


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; ``extra={"fields": {...}}`` adds to it."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "ts": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z).decode()


def logging_config(level: str) -> dict[str, Any]:
    """A ``logging.config`` dictionary: every logger, gunicorn's included, writes JSON lines to standard output."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {"stdout": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"}},
        "root": {"level": level, "handlers": ["stdout"]},
        "loggers": {
            "gunicorn.error": {"level": level, "handlers": ["stdout"], "propagate": False},
            "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
        },
    }


def init_logs(app: Flask) -> None:
    """Gives every request an ID and a line."""
    _collect_only_what_is_written()
    app.before_request(_start)
    app.after_request(_finish)


def _collect_only_what_is_written() -> None:
    # https://docs.python.org/3/howto/logging.html#optimization: half of what a record costs is looking these up.
    logging._srcfile = None  # noqa: SLF001  # as documented there
    logging.logThreads = False
    logging.logProcesses = False
    logging.logMultiprocessing = False


def _start() -> None:
    request = current_request()
    request.start()
    claimed = request.headers.get(REQUEST_ID_HEADER)
    request.request_id = claimed if claimed and _SANE_REQUEST_ID.fullmatch(claimed) else f"{getrandbits(128):032x}"


def _finish(response: Response) -> Response:
    request = current_request()
    response.headers[REQUEST_ID_HEADER] = request.request_id
    fields = {
        "request_id": request.request_id,
        "client": request.remote_addr,
        "method": request.method,
        "path": request.path,
        "status": response.status_code,
        "latency_ms": round(request.seconds() * 1000, 3),
    }
    if request.verdict is not None:
        fields.update(_delivery_fields(request.verdict))
    if request.failure is not None:
        fields["failure"] = request.failure
    if _log.isEnabledFor(logging.INFO):
        _write_request_line(fields)
    return response


@contextmanager
def lines_in_one_write() -> Iterator[None]:
    """Collects the lines about the requests that this thread answers in a block, and writes them at its end."""
    _collecting.lines = lines = list[bytes]()
    try:
        yield
    finally:
        _collecting.lines = None
        if lines:
            _write(b"".join(lines))


def _write_request_line(fields: dict[str, Any]) -> None:
    """Writes the line that the logger would write, in a third of the time: there is one for each delivery."""
    line = orjson.dumps(
        {"ts": datetime.now(UTC), "level": "INFO", "logger": _log.name, "message": "request", **fields},
        option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE,
    )
    lines: list[bytes] | None = getattr(_collecting, "lines", None)
    if lines is None:
        _write(line)
    else:
        lines.append(line)


def _write(lines: bytes) -> None:
    """Writes whole lines by one call, which needs no lock. Lines that can't be written are reported by the logger."""
    try:
        os.write(_STDOUT, lines)
    except OSError as error:
        _log.error("request lines can't be written", extra={"fields": {"error": str(error), "bytes": len(lines)}})


def _delivery_fields(verdict: Verdict) -> dict[str, Any]:
    fields: dict[str, Any] = {"provider": verdict.provider, "result": verdict.result.value}
    outcomes = verdict.outcomes.all()
    if outcomes:
        fields["message_id"] = verdict.message_id
        fields["dup"] = Outcome.CREATED not in outcomes and Outcome.CONFLICT not in outcomes
        if Outcome.CONFLICT in outcomes:
            fields["conflicts"] = outcomes.count(Outcome.CONFLICT)
    if len(outcomes) > 1:
        fields["items"] = len(outcomes)
    if verdict.reason is not None:
        fields["reason"] = verdict.reason.value
    if verdict.failure is not None:
        fields["failure"] = verdict.failure
    if verdict.hint is not None:
        fields["hint"] = verdict.hint
    if verdict.quarantined:
        fields["quarantined"] = True
    return fields
