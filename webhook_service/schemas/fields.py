"""Fields and rules that several schemas share."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, validate

from webhook_service.domain.formats import E164, parse_timestamp

_INTEGER = re.compile(r"-?[0-9]{1,19}")

PHONE_NUMBER = re.compile(rf"{E164}\Z")
phone_number = validate.Regexp(PHONE_NUMBER, error="Not an E.164 number: a plus and 1 to 15 digits.")


def no_nul(text: str) -> None:
    """Refuses NUL, which databases don't take in a text."""
    if "\x00" in text:
        raise ValidationError("Must not contain NUL.")


class AsciiInteger(fields.Field[int]):
    """An integer of ASCII digits, as a query string holds it."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:  # noqa: ARG002
        if not _INTEGER.fullmatch(value):
            raise ValidationError("Not a valid integer.")
        return int(value)


class TimestampField(fields.Field[datetime]):
    """An ISO 8601 string with a zone, read as an aware datetime in UTC; fractions are cut at microseconds."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:  # noqa: ARG002
        try:
            return parse_timestamp(value)
        except (TypeError, ValueError):
            raise ValidationError("Not an ISO 8601 timestamp with a time zone.") from None


def errors_by_field(invalid: ValidationError) -> dict[str, list[str]]:
    """Returns what a schema found wrong, by the name of the field."""
    assert isinstance(invalid.messages, dict)  # noqa: S101  # a schema's messages are by field
    return invalid.messages
