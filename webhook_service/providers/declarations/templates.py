"""Templates of the content that is signed, such as ``{timestamp}.{body}``.

A template is parsed once. What a sender writes is put in as bytes, and is never read as a template again.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from webhook_service.domain.errors import SignatureInvalid
from webhook_service.domain.results import Reason
from webhook_service.providers.declarations.places import HEADER_NAME, Envelope
from webhook_service.providers.declarations.tables import DeclarationTable
from webhook_service.providers.signatures import header_bytes

Part = Callable[[Envelope], bytes]

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_MOST_PARTS = 20
_COVER_BODY = frozenset({"body", "sha256:body", "sha256-bytes:body", "form:sorted"})
_PLACEHOLDERS = (
    "{body} {url} {method} {timestamp} {header:NAME} {query:NAME} {field:NAME} {sha256:body} {sha256-bytes:body} "
    "{form:sorted}"
)


@dataclass(frozen=True, slots=True)
class Template:
    """The content that is signed: its ``parts`` in order, the ``names`` of the placeholders, and the ``fixed`` text."""

    parts: tuple[Part, ...] = ()
    names: tuple[str, ...] = ()
    fixed: str = ""

    @property
    def covers_body(self) -> bool:
        """Tells whether any change of the body needs another signature."""
        return not _COVER_BODY.isdisjoint(self.names)

    @property
    def is_body(self) -> bool:
        """Tells whether nothing but the body is signed, as it is."""
        return self.names == ("body",) and len(self.parts) == 1

    def argument(self, kind: str) -> list[str]:
        """Returns the names in the placeholders of a kind, such as those of the headers that are signed."""
        return [name.partition(":")[2] for name in self.names if name.startswith(f"{kind}:")]

    def content(self, envelope: Envelope) -> bytes:
        """Returns the signed bytes of a delivery; SignatureInvalid when it lacks one of the parts."""
        if len(self.parts) == 1:
            return self.parts[0](envelope)
        return b"".join([part(envelope) for part in self.parts])


def read_template(table: DeclarationTable, key: str, public_url: str | None) -> Template | None:
    """Reads a template; None, with a problem reported, when there is none or it can't be understood."""
    text = table.take_text(key, required=True)
    if text is None:
        return None
    parts: list[Part] = []
    names: list[str] = []
    end = 0
    for token in _TOKEN.finditer(text):
        literal, end = text[end : token.start()], token.end()
        if token[0] in ("{{", "}}"):
            parts.append(_literal(literal + token[0][0]))
            continue
        parts.extend([_literal(literal)] if literal else [])
        part = _placeholder(token[1], public_url) if token[1] else None
        if part is None:
            table.report(key, f"has a placeholder that is unknown; known are {_PLACEHOLDERS}")
            return None
        parts.append(part)
        names.append(token[1])
    parts.extend([_literal(text[end:])] if end < len(text) else [])
    if "url" in names and public_url is None:
        table.report(key, "{url} needs public_url, the base of this service's URLs")
    if len(parts) > _MOST_PARTS:
        table.report(key, f"has more than {_MOST_PARTS} parts")
        return None
    fixed = _TOKEN.sub(lambda token: token[0][0] if token[1] is None else "", text)
    return Template(tuple(parts), tuple(names), fixed)


def _literal(text: str) -> Part:
    written = text.encode()
    return lambda _envelope: written


def _placeholder(name: str, public_url: str | None) -> Part | None:
    kind, _, argument = name.partition(":")
    if name == "url":
        return url_part(public_url or "")
    if name in _PLAIN:
        return _PLAIN[name]
    if kind == "header" and HEADER_NAME.fullmatch(argument):
        return _header(argument)
    if kind == "query" and argument:
        return _query(argument)
    if kind == "field" and argument:
        return _field(argument)
    return None


def url_part(public_url: str) -> Part:
    """Returns the part for the URL that the sender called, which begins with ``public_url``."""
    base = public_url.rstrip("/")
    return lambda envelope: (envelope.url or base + envelope.delivery.target).encode("utf-8", "surrogatepass")


def _sorted_form(envelope: Envelope) -> bytes:
    """Writes the names and values of a form, sorted, each pair once, with nothing between them, as Twilio does."""
    pairs = sorted(set(envelope.fields))
    return "".join(name + value for name, value in pairs).encode("utf-8", "surrogatepass")


_PLAIN: dict[str, Part] = {
    "body": lambda envelope: envelope.raw,
    "method": lambda _envelope: b"POST",
    "timestamp": lambda envelope: envelope.timestamp,
    "sha256:body": lambda envelope: hashlib.sha256(envelope.raw).hexdigest().encode(),
    "sha256-bytes:body": lambda envelope: hashlib.sha256(envelope.raw).digest(),
    "form:sorted": _sorted_form,
}


def _header(name: str) -> Part:
    def part(envelope: Envelope) -> bytes:
        return header_bytes(_given(envelope.delivery.headers.get(name)))

    return part


def _query(name: str) -> Part:
    return lambda envelope: _given(envelope.query.get(name)).encode("utf-8", "surrogatepass")


def _field(path: str) -> Part:
    names = tuple(path.split("."))
    return lambda envelope: _given(envelope.text_at(names)).encode("utf-8", "surrogatepass")


def _given(value: str | None) -> str:
    if value is None:
        raise SignatureInvalid(Reason.MISSING_SIGNED_VALUE)
    return value
