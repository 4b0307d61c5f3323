"""Places of values in a delivery: a header, a parameter of the query string, or a field of the body."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.errors import PayloadInvalid, SignatureInvalid
from webhook_service.domain.results import Reason
from webhook_service.providers.declarations.tables import DeclarationTable
from webhook_service.providers.forms import FormInvalid, read_fields, to_form
from webhook_service.providers.strict_json import loads_object

SEVERAL = 16  # the most values of a header that are examined; a rotation needs two
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # a token of RFC 9110, section 5.6.2
_VALUE_MAX = 16 * 2**10  # characters; gunicorn's limit for a header is half of that
_QUERY_FIELDS = 100

Values = Mapping[str, str | list[str]] | Mapping[str, Any]


class Envelope:
    """A delivery under verification; its query, fields and body are parsed at most once.

    ``timestamp`` is the claimed time as it was sent. For a diagnosis, the body or the URL is replaced by another.
    """

    def __init__(self, delivery: Delivery, *, is_form: bool, raw: bytes | None = None, url: str | None = None) -> None:
        self.delivery = delivery
        self.raw = delivery.raw if raw is None else raw
        self.url = url
        self.timestamp = b""
        self._is_form = is_form

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The parameters of the URL; the first value of one that occurs twice."""
        _, _, query = self.delivery.target.partition("?")
        try:
            pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_QUERY_FIELDS)
        except ValueError:
            raise SignatureInvalid(Reason.TOO_MANY_FIELDS) from None
        return dict(reversed(pairs))

    @cached_property
    def fields(self) -> list[tuple[str, str]]:
        """The fields of a form."""
        try:
            return read_fields(self.raw)
        except FormInvalid as invalid:
            raise SignatureInvalid(invalid.reason) from None

    @cached_property
    def body(self) -> Values:
        """The body as an object."""
        if self._is_form:
            return to_form(self.fields)
        try:
            return loads_object(self.raw, locates=False)
        except PayloadInvalid as invalid:
            raise SignatureInvalid(invalid.reason) from None

    def text_at(self, path: tuple[str, ...]) -> str | None:
        """Returns the text or whole number in a field of the body; None when there is none."""
        value: Any = self.body
        for name in path:
            if not isinstance(value, Mapping):
                return None
            value = value.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a value, and what surrounds the value there.

    A text may hold several values, separated by ``split``, each after a ``key`` and a ``separator``. Before a value
    there may be a ``prefix``.
    """

    header: str | None = None
    query: str | None = None
    field: tuple[str, ...] = ()
    split: str | None = None
    separator: str | None = None
    key: str | None = None
    prefix: str = ""

    def read(self, envelope: Envelope) -> str | None:
        """Returns the whole text in this place; None when there is none or it is empty."""
        if self.header is not None:
            return envelope.delivery.headers.get(self.header) or None
        if self.query is not None:
            return envelope.query.get(self.query) or None
        return envelope.text_at(self.field) or None

    def values(self, envelope: Envelope, missing: Reason) -> list[str]:
        """Returns the values in this place without what surrounds them; SignatureInvalid when the place is empty."""
        text = self.read(envelope)
        if text is None:
            raise SignatureInvalid(missing)
        if self.split is None:
            parts = [text.strip()] if len(text) <= _VALUE_MAX else []
        else:
            parts = [part.strip() for part in text.split(self.split, SEVERAL)[:SEVERAL]]
        if self.separator is not None:
            keyed = (part.partition(self.separator) for part in parts)
            parts = [value for key, _, value in keyed if key.strip() == self.key]
        if not self.prefix:
            return parts
        length = len(self.prefix)
        return [part[length:] for part in parts if part[:length].lower() == self.prefix.lower()]

    def text(self, value: str) -> str:
        """Returns a value with what stands around it in this place, for a sample."""
        text = self.prefix + value
        return text if self.separator is None else f"{self.key}{self.separator}{text}"


def read_place(table: DeclarationTable, *, default_header: str | None = None) -> Place:
    """Reads the place of a value, which exactly one of ``header``, ``query`` and ``field`` names."""
    header = read_header_name(table, "header")
    query, field = table.take_text("query", longest=100), table.take_text("field", longest=200)
    if not any(table.has(name) for name in ("header", "query", "field")):
        header = default_header
        if header is None:
            table.report("", "one of header, query, field is needed")
    if sum(table.has(name) for name in ("header", "query", "field")) > 1:
        table.report("", "header, query and field exclude each other")
    split, separator, key = (table.take_text(name, longest=100) for name in ("split", "separator", "key"))
    if (separator is None) != (key is None) and table.has("separator") != table.has("key"):
        table.report("key" if table.has("separator") else "separator", "key and separator need each other")
    prefix = table.take_text("prefix", longest=100) or ""
    table.finish()
    return Place(header, query, tuple(field.split(".")) if field else (), split, separator, key, prefix)


def read_header_name(table: DeclarationTable, key: str) -> str | None:
    """Reads the name of a header."""
    name = table.take_text(key, longest=100)
    if name is not None and not HEADER_NAME.fullmatch(name):
        table.report(key, "not the name of a header")
        return None
    return name
