"""Query strings, whatever they ask for."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from marshmallow import Schema, ValidationError

from webhook_service.cursors import CursorInvalid, Scope, decode_cursor
from webhook_service.schemas.fields import errors_by_field

# In these a plus is far likelier a phone number's or a zone's than a form's idea of a space.
_PLUS_IS_PLUS = frozenset({"from", "to", "since", "until"})
_EMPTY_IS_ABSENT = frozenset(
    {"from", "to", "provider", "since", "until", "q", "cursor", "after", "message_id", "status"}
)


class QueryInvalid(Exception):
    """A query string that breaks the contract; ``errors`` names the parameters and what is wrong with each."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        super().__init__("invalid query parameters")
        self.errors = errors


def load_query(schema: Schema, query_string: bytes) -> dict[str, Any]:
    """What a schema makes of a query string; QueryInvalid when a parameter is bad."""
    return load_parameters(schema, read_query_string(query_string))


def load_parameters(schema: Schema, parameters: Mapping[str, str]) -> dict[str, Any]:
    """The same from parameters by name."""
    try:
        loaded: dict[str, Any] = schema.load(parameters)
    except ValidationError as invalid:
        raise QueryInvalid(errors_by_field(invalid)) from None
    return loaded


def read_query_string(query_string: bytes) -> dict[str, str]:
    """The parameters of a query string, the last of each name; QueryInvalid when one is not UTF-8."""
    parameters: dict[str, str] = {}
    for pair in query_string.split(b"&"):
        name = pair.partition(b"=")[0].decode("latin-1")
        readable = pair.replace(b"+", b"%2B") if name in _PLUS_IS_PLUS else pair
        try:
            parameters.update(parse_qsl(readable.decode(), keep_blank_values=True, errors="strict"))
        except UnicodeDecodeError:
            raise QueryInvalid({name if name.isascii() else "query": ["Not valid UTF-8."]}) from None
    return {name: value for name, value in parameters.items() if value or name not in _EMPTY_IS_ABSENT}


def read_place(scope: Scope, cursor: str) -> list[Any]:
    """The place that the parameter ``cursor`` stands for; QueryInvalid when it is not one in the list of that scope."""
    try:
        return decode_cursor(scope, cursor)
    except CursorInvalid:
        raise QueryInvalid({"cursor": ["Not a cursor of this list."]}) from None


def read_position(scope: Scope, cursor: str | None) -> int:
    """The same in a list whose places are numbers; without a cursor 0, the beginning."""
    if cursor is None:
        return 0
    (position,) = read_place(scope, cursor)
    return int(position)
