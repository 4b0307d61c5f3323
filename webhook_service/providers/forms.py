"""Bodies that are forms (``application/x-www-form-urlencoded``)."""

from urllib.parse import parse_qsl

from webhook_service.domain.results import Reason

_MOST_FIELDS = 1000  # providers send a few dozen

Form = dict[str, str | list[str]]
"""A form's values by name; a list where a name occurs more than once."""


class FormInvalid(Exception):
    """A body is not a form, or not one that a provider would send."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


def read_fields(raw: bytes) -> list[tuple[str, str]]:
    """Returns the names and values of a form in their order; FormInvalid when it is not UTF-8 or has too many."""
    try:
        return parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except UnicodeDecodeError:
        raise FormInvalid(Reason.NOT_UTF8) from None
    except ValueError:
        raise FormInvalid(Reason.TOO_MANY_FIELDS) from None


def to_form(fields: list[tuple[str, str]]) -> Form:
    """Gathers the values of each name."""
    form: Form = {}
    for name, value in fields:
        earlier = form.get(name)
        if earlier is None:
            form[name] = value
        else:
            form[name] = [*(earlier if isinstance(earlier, list) else [earlier]), value]
    return form
