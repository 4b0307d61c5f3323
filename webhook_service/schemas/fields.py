"""What a field may hold, where several subjects have such a field.

Rules: E.164 numbers are ITU-T E.164 (`+` and at most 15 digits), timestamps are RFC 3339 / ISO 8601 with a zone.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from marshmallow import ValidationError, fields, validate

MESSAGE_ID_MAX = 255
TEXT_MAX = 4096

_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})"
)
_NOT_A_TIMESTAMP = "Not an ISO 8601 timestamp with a time zone."
_INTEGER = re.compile(r"-?[0-9]{1,19}")

E164 = re.compile(r"\+[0-9]{1,15}\Z")
phone_number = validate.Regexp(E164, error="Not an E.164 number: a plus and 1 to 15 digits.")


def no_nul(text: str) -> None:
    """Refuses what no database takes in a text."""
    if "\x00" in text:
        raise ValidationError("Must not contain NUL.")


class AsciiInteger(fields.Field[int]):
    """An integer of ASCII digits, as a query string holds it."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:  # noqa: ARG002
        if not _INTEGER.fullmatch(value):
            raise ValidationError("Not a valid integer.")
        return int(value)


class Timestamp(fields.Field[datetime]):
    """An ISO 8601 string with a zone, read to an aware datetime in UTC; fractions are cut at microseconds."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:  # noqa: ARG002
        return read_timestamp(value)


def read_timestamp(value: Any) -> datetime:
    """What a ``Timestamp`` reads from any JSON value; ValidationError when it is no timestamp."""
    if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
        raise ValidationError(_NOT_A_TIMESTAMP)
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValidationError(_NOT_A_TIMESTAMP) from None


def format_timestamp(ts: datetime) -> str:
    """An aware UTC datetime as ISO 8601 with ``Z``, with a fraction only where there is one."""
    return ts.replace(tzinfo=None).isoformat() + "Z"


def errors_by_field(invalid: ValidationError) -> dict[str, list[str]]:
    """What a schema found wrong, by the name of the field."""
    assert isinstance(invalid.messages, dict)  # noqa: S101  # a schema's messages are by field
    return invalid.messages
