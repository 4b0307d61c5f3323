"""Messages as lines of NDJSON or CSV."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

from webhook_service.domain.formats import encode_json, format_timestamps
from webhook_service.domain.messages import StoredMessage
from webhook_service.schemas.messages import present_message

CSV_HEADER = ("message_id", "from", "to", "ts", "text", "provider", "type", "received_at", "extra", "source")

# Spreadsheets take a cell that begins with one of these for a formula: https://owasp.org/www-community/attacks/CSV_Injection
_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_DEFUSED = "'"


class ExportFormat(StrEnum):
    """A format of exported files; the value is also the usual file extension."""

    NDJSON = "ndjson"
    CSV = "csv"

    @property
    def content_type(self) -> str:
        """Returns the media type (RFC 4180 for CSV; none is registered for NDJSON)."""
        return "text/csv; charset=utf-8; header=present" if self is ExportFormat.CSV else "application/x-ndjson"

    @property
    def header(self) -> bytes:
        """Returns the bytes before the first message."""
        return _csv([CSV_HEADER]) if self is ExportFormat.CSV else b""

    def lines(self, messages: Sequence[StoredMessage]) -> bytes:
        """Encodes messages as lines, each with its end."""
        return _ENCODERS[self](messages)


def defuse(cell: str | None) -> str | None:
    """Prefixes a cell that a spreadsheet would take for a formula; phone numbers are harmless and stay unchanged."""
    if cell is None or not cell.startswith(_BEGINS_A_FORMULA) or (cell[0] == "+" and cell[1:].isdecimal()):
        return cell
    return _DEFUSED + cell


def _encode_ndjson(messages: Sequence[StoredMessage]) -> bytes:
    return b"".join(map(encode_json, map(present_message, messages)))


def _encode_csv(messages: Sequence[StoredMessage]) -> bytes:
    times = format_timestamps([message.ts for message in messages])
    received_times = format_timestamps([message.received_at for message in messages])
    return _csv(
        (
            defuse(message.message_id),
            defuse(message.sender),
            defuse(message.recipient),
            ts,
            defuse(message.text),
            defuse(message.provider),
            defuse(message.type),
            received_at,
            message.extra,
            defuse(message.source),
        )
        for message, ts, received_at in zip(messages, times, received_times, strict=True)
    )


def _csv(rows: Iterable[Sequence[str | None]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


_ENCODERS: dict[ExportFormat, Callable[[Sequence[StoredMessage]], bytes]] = {
    ExportFormat.NDJSON: _encode_ndjson,
    ExportFormat.CSV: _encode_csv,
}
