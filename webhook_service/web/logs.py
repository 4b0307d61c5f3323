"""The log: one JSON line for each request, and every other line of the process in the same form.

Never in a line: message text, phone numbers, secrets, or anything of a request but its ``X-Request-ID``, if that is
sane, and the message ID of a delivery that was accepted. The text of an exception may quote all of these, so lines
have the class of the exception and where it was raised instead.
"""

import logging
import re
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from random import getrandbits
from select import PIPE_BUF
from typing import Any

import orjson
from flask import Flask, Response

from webhook_service.domain.results import Outcome
from webhook_service.domain.verdicts import Verdict
from webhook_service.web.context import current_request
from webhook_service.web.stdout import STDOUT

REQUEST_ID_HEADER = "X-Request-ID"

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_log = logging.getLogger("webhook_service.request")
_collecting = threading.local()


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON; ``extra={"fields": {...}}`` adds fields to it."""

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.args, tuple):
            record.args = tuple(name_of(arg) if isinstance(arg, BaseException) else arg for arg in record.args)
        line = {
            "ts": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1]:
            line["traceback"] = places_of(record.exc_info[1])
        return _to_json(line)


def _to_json(line: dict[str, Any]) -> str:
    """Returns a line that is short enough not to be mixed with other processes' lines in a pipe: pipe(7)."""
    text = orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z).decode()
    excess = len(text.encode()) + len("\n") - PIPE_BUF
    if excess > 0 and "traceback" in line:
        # The end of a traceback says most, so its beginning is cut off. A character takes a byte or more.
        line = {**line, "traceback": f"…{line['traceback'][excess + len('…'.encode()) :]}"}
        text = orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z).decode()
    return text


def name_of(error: BaseException) -> str:
    """Returns the class of an exception, and the operating system's text, which quotes nothing from a client."""
    said = error.strerror if isinstance(error, OSError) else None
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def places_of(error: BaseException) -> str:
    """Returns the places where an exception and those that led to it were raised, and their classes."""
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    before = f"{places_of(earlier)}\n" if earlier else ""
    return f"{before}{''.join(traceback.format_tb(error.__traceback__))}{name_of(error)}"


class LinesHandler(logging.Handler):
    """Writes records to standard output."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record as a line."""
        try:
            STDOUT.write(f"{self.format(record)}\n".encode())
        except OSError:
            self.handleError(record)


def logging_config(level: str) -> dict[str, Any]:
    """Returns a ``logging.config`` dictionary: every logger, gunicorn's included, writes JSON to standard output.

    gunicorn's lines for debugging hold the paths of requests, so they are left out at any level.
    """
    of_gunicorn = "INFO" if level == "DEBUG" else level
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {"stdout": {"()": LinesHandler, "formatter": "json"}},
        "root": {"level": level, "handlers": ["stdout"]},
        "loggers": {
            "gunicorn.http": {"level": of_gunicorn},
            "gunicorn.error": {"level": of_gunicorn, "handlers": ["stdout"], "propagate": False},
            "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
        },
    }


def init_logs(app: Flask) -> None:
    """Gives every request an ID and a line in the log."""
    _collect_only_what_is_written()
    app.before_request(_start)
    app.after_request(_finish)


def _collect_only_what_is_written() -> None:
    # Looking these up is half of the cost of a record: https://docs.python.org/3/howto/logging.html#optimization
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
        "client": request.client(),
        "method": request.known_method(),
        "path": request.rule(),
        "status": response.status_code,
        "latency_ms": round(request.seconds() * 1000, 3),
    }
    if request.verdict is not None:
        fields.update(_delivery_fields(request.verdict))
    if request.cause is not None:
        fields["failure"] = request.cause
    level = logging.DEBUG if request.is_routine and response.status_code < HTTPStatus.BAD_REQUEST else logging.INFO
    if _log.isEnabledFor(level):
        _write_request_line(fields, level)
    return response


@contextmanager
def lines_in_one_write() -> Iterator[None]:
    """Collects the lines about the requests that this thread answers within the block, and writes them at its end."""
    _collecting.lines = lines = list[bytes]()
    try:
        yield
    finally:
        _collecting.lines = None
        if lines:
            _write(b"".join(lines))


def _write_request_line(fields: dict[str, Any], level: int) -> None:
    """Writes the line that the logger would write, but in a third of the time: each delivery has such a line."""
    line = orjson.dumps(
        {
            "ts": datetime.now(UTC),
            "level": logging.getLevelName(level),
            "logger": _log.name,
            "message": "request",
            **fields,
        },
        option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE,
    )
    lines: list[bytes] | None = getattr(_collecting, "lines", None)
    if lines is None:
        _write(line)
    else:
        lines.append(line)


def _write(lines: bytes) -> None:
    """Writes whole lines. If they can't be written, the logger reports that."""
    try:
        STDOUT.write(lines)
    except OSError as error:
        _log.error("request lines can't be written", extra={"fields": {"error": str(error), "bytes": len(lines)}})


def _delivery_fields(verdict: Verdict) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "source": verdict.source,
        "provider": verdict.provider,
        "result": verdict.result.value,
    }
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
    if verdict.cause is not None:
        fields["failure"] = verdict.cause
    if verdict.is_quarantined:
        fields["quarantined"] = True
    return fields
