"""Query strings, and the parameters that several lists share."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from webhook_service.domain.limits import PAGE_DEFAULT, PAGE_MAX
from webhook_service.domain.spelling import nearest
from webhook_service.schemas.cursors import CursorInvalid, Cursors
from webhook_service.schemas.fields import AsciiInteger, errors_by_field

# A raw plus in these belongs to a phone number or a time zone, and is hardly ever an encoded space.
_PLUS_IS_PLUS = frozenset({"from", "to", "since", "until"})
EMPTY_IS_ABSENT = frozenset(
    {
        *("from", "to", "provider", "source", "type", "since", "until", "q"),
        *("cursor", "after", "message_id", "status", "reason"),
    }
)

_MOST_UNKNOWN = 10  # unknown parameters that are reported: each is compared with all known ones

Place = TypeVar("Place")


class NoParametersSchema(Schema):
    """The query string of a call that takes no parameters."""


class PageQuerySchema(Schema):
    """Parameters of every list that is read in pages."""

    limit = AsciiInteger(
        load_default=PAGE_DEFAULT, validate=validate.Range(1, PAGE_MAX), metadata={"description": "Items of a page."}
    )
    cursor = fields.String(load_default=None, metadata={"description": "`next_cursor` of the last answer."})


_no_parameters = NoParametersSchema(unknown=EXCLUDE)


class QueryInvalid(Exception):
    """A query string that breaks the contract; ``problems`` names the parameters and what is wrong with each."""

    def __init__(self, problems: Mapping[str, list[str]]) -> None:
        super().__init__("invalid query parameters")
        self.problems = problems


def load_query(schema: Schema, query_string: bytes) -> dict[str, Any]:
    """Loads a query string by a schema; QueryInvalid when a parameter is bad."""
    return load_parameters(schema, read_query_string(query_string))


def load_parameters(schema: Schema, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Loads parameters by name, as ``load_query`` loads those of a query string."""
    unknown = _unknown_parameters(parameters, {field.data_key or name for name, field in schema.fields.items()})
    try:
        loaded: dict[str, Any] = schema.load(parameters)
    except ValidationError as invalid:
        raise QueryInvalid({**errors_by_field(invalid), **unknown}) from None
    if unknown:
        raise QueryInvalid(unknown)
    return loaded


def refuse_parameters(query_string: bytes) -> None:
    """Refuses every parameter, for a call that takes none; QueryInvalid names them."""
    load_query(_no_parameters, query_string)


def _unknown_parameters(parameters: Iterable[str], known: set[str]) -> dict[str, list[str]]:
    """Reports unknown parameters, with those that may be meant: a misspelt filter must not be ignored."""
    unknown = islice((name for name in parameters if name not in known), _MOST_UNKNOWN)
    return {name: [_advice(name, sorted(known))] for name in unknown}


def _advice(unknown: str, known: list[str]) -> str:
    if not known:
        return "Unknown parameter: there are none here."
    meant = nearest(unknown, known)
    if meant:
        return f"Unknown parameter. Did you mean '{meant}'?"
    return f"Unknown parameter. Known ones: {', '.join(known)}."


def read_query_string(query_string: bytes) -> dict[str, str]:
    """Reads the parameters of a query string; QueryInvalid when one is not UTF-8 or stands there twice."""
    parameters: dict[str, str] = {}
    for pair in query_string.split(b"&"):
        name = pair.partition(b"=")[0].decode("latin-1")
        readable = pair.replace(b"+", b"%2B") if name in _PLUS_IS_PLUS else pair
        try:
            read = dict(parse_qsl(readable.decode(), keep_blank_values=True, errors="strict"))
        except UnicodeDecodeError:
            raise QueryInvalid({name if name.isascii() else "query": ["Not valid UTF-8."]}) from None
        if twice := parameters.keys() & read:
            raise QueryInvalid({each: ["Given more than once."] for each in twice})
        parameters |= read
    return {name: value for name, value in parameters.items() if value or name not in EMPTY_IS_ABSENT}


def read_cursor(cursors: Cursors[Place], cursor: str) -> Place:
    """Decodes the parameter ``cursor``; QueryInvalid when it is no cursor of this list."""
    try:
        return cursors.read(cursor)
    except CursorInvalid:
        raise QueryInvalid({"cursor": ["Not a cursor of this list."]}) from None
