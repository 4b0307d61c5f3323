"""Checks of the fields that have columns of their own, for all providers."""

from datetime import UTC, datetime

_LAST_SECOND = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
_PUNCTUATION = str.maketrans("", "", " ().-\u00a0")


class FieldInvalid(Exception):
    """A field that can't be read or stored; ``field`` is its path in the item."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


def short_text(value: object, field: str, longest: int) -> str:
    """Returns a text of 1 to ``longest`` characters, without NUL, which databases don't take; else FieldInvalid."""
    if isinstance(value, str) and 0 < len(value) <= longest and "\x00" not in value:
        return value
    raise FieldInvalid(field)


def long_text(value: object, field: str) -> str:
    """Returns a text of any length, without NUL; FieldInvalid for anything else."""
    if isinstance(value, str) and "\x00" not in value:
        return value
    raise FieldInvalid(field)


def unix_time(value: object, field: str) -> datetime:
    """Reads whole seconds since 1970, from a number or from a text of ASCII digits."""
    if isinstance(value, str) and len(value) <= 12 and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LAST_SECOND:
        return datetime.fromtimestamp(value, UTC)
    raise FieldInvalid(field)


def phone_number(address: str) -> str:
    """Returns a phone number in the form that is common to all providers, ``+`` and digits; other addresses as is."""
    digits = address.translate(_PUNCTUATION).removeprefix("+")
    return f"+{digits}" if digits.isascii() and digits.isdigit() else address
