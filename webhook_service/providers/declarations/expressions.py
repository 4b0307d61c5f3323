"""JMESPath expressions over a delivery, which can refer to ``item``, ``body`` and ``headers``.

A bare name such as ``id`` is short for ``item.id``. The language: https://jmespath.org/specification.html
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import jmespath
from jmespath.parser import ParsedResult

from webhook_service.providers.declarations.places import HEADER_NAME
from webhook_service.providers.declarations.tables import DeclarationTable
from webhook_service.providers.routing import JMESPATH_FAILURES

ROOTS = ("item", "body", "headers")
_LONGEST = 500  # characters
_DEEPEST = 20
_PROJECTIONS = frozenset({"projection", "value_projection", "filter_projection"})
_SCOPES = _PROJECTIONS | {"subexpression", "index_expression", "pipe"}
_LOOKUPS = frozenset({"field", "subexpression", "index_expression", "pipe"})
_WALKS = _PROJECTIONS | {"flatten", "function_expression"}
_CHEAP_FUNCTIONS = frozenset({"not_null", "type"})


class ExpressionFailed(Exception):
    """An expression can't be applied to the content of a delivery."""


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """A compiled expression; ``name`` is set if the expression is no more than a top-level field of the item.

    ``roots`` are those of ``item``, ``body`` and ``headers`` that it reads, ``headers`` the names of the headers that
    it reads.
    """

    compiled: ParsedResult
    name: str | None
    roots: frozenset[str]
    headers: frozenset[str]

    def search(self, scope: Mapping[str, Any]) -> Any:
        """Returns what the expression finds; None when it finds nothing. Raises ExpressionFailed, and nothing else."""
        if self.name is not None:
            item = scope["item"]
            return item.get(self.name) if isinstance(item, dict) else None
        try:
            return self.compiled.search(scope)
        except JMESPATH_FAILURES:
            raise ExpressionFailed from None

    @property
    def path(self) -> tuple[str | int, ...] | None:
        """Returns, for samples, the names and positions that lead to the first alternative; None if it is no path."""
        return _path(self.compiled.parsed)


def read_expression(
    table: DeclarationTable, key: str, *, required: bool = False, roots: tuple[str, ...] = ROOTS
) -> Expression | None:
    """Reads an expression that may refer to ``roots``; a bare name belongs to the first of them."""
    text = table.take_text(key, required=required, longest=_LONGEST)
    return None if text is None else _compile(table, key, text, roots)


def _compile(table: DeclarationTable, key: str, text: str, roots: tuple[str, ...]) -> Expression | None:
    try:
        compiled = jmespath.compile(text)
    except JMESPATH_FAILURES:
        table.report(key, "not a JMESPath expression")
        return None
    node = compiled.parsed
    if _depth(node) > _DEEPEST:
        table.report(key, f"nested more than {_DEEPEST} levels deep")
        return None
    if node["type"] == "field" and node["value"] not in roots:
        return _compile(table, key, f"{roots[0]}.{text}", roots)
    used = set(_roots(node))
    if not used <= set(roots):
        table.report(key, f"begins with a name that is none of {', '.join(roots)}; a bare name means {roots[0]}.NAME")
        return None
    if {"item", "body"} <= used and _walks_body(node):
        # The body would be walked through for each item, so the cost could be the square of the delivery's size.
        table.report(key, "walks through body for each item: read no more than plain fields of body beside item")
        return None
    headers = set(_header_names(node))
    if None in headers:
        table.report(key, 'a header is written headers."Its-Name"')
        return None
    path = _path(node) if node["type"] == "subexpression" else None
    name = path[1] if path is not None and len(path) == 2 and path[0] == "item" else None
    return Expression(
        compiled,
        name if isinstance(name, str) else None,
        frozenset(used),
        frozenset(header for header in headers if header),
    )


def _depth(node: Mapping[str, Any]) -> int:
    return 1 + max((_depth(child) for child in node["children"] if isinstance(child, dict)), default=0)


def _roots(node: Mapping[str, Any]) -> Iterator[str]:
    """Yields the names that are looked up in the scope itself, and not in values that were found in it."""
    kind, children = node["type"], node["children"]
    if kind == "field":
        yield node["value"]
    elif kind == "current":
        yield "@"
    elif kind in ("expref", "literal"):
        return
    elif kind in _SCOPES:
        yield from _roots(children[0])
    else:
        for child in children:
            if isinstance(child, dict):
                yield from _roots(child)


def _walks_body(node: Mapping[str, Any]) -> bool:
    """Tells whether a list or an object in the body is walked through, and not just looked up by name."""
    kind, children = node["type"], [child for child in node["children"] if isinstance(child, dict)]
    if kind in _PROJECTIONS or kind == "flatten":
        return "body" in _roots(children[0])
    if kind == "function_expression" and node["value"] not in _CHEAP_FUNCTIONS:
        return any(child["type"] in _LOOKUPS and "body" in _roots(child) for child in children) or any(
            map(_walks_body, children)
        )
    if kind in _SCOPES:
        return _walks_body(children[0]) or ("body" in _roots(children[0]) and any(map(_walks, children[1:])))
    return any(map(_walks_body, children))


def _walks(node: Mapping[str, Any]) -> bool:
    return node["type"] in _WALKS or any(_walks(child) for child in node["children"] if isinstance(child, dict))


def _header_names(node: Mapping[str, Any]) -> Iterator[str | None]:
    """Yields the name of each header that is read; None for any other use of ``headers``."""
    kind, children = node["type"], node["children"]
    if kind == "field" and node["value"] == "headers":
        yield None
    elif kind == "subexpression" and children[0]["type"] == "field" and children[0]["value"] == "headers":
        name = children[1]["value"] if children[1]["type"] == "field" else None
        yield name if name is not None and HEADER_NAME.fullmatch(name) else None
    elif kind in _SCOPES:
        yield from _header_names(children[0])
    elif kind != "expref":
        for child in children:
            if isinstance(child, dict):
                yield from _header_names(child)


def _path(node: Mapping[str, Any]) -> tuple[str | int, ...] | None:
    kind, children = node["type"], node["children"]
    if kind == "field":
        return (node["value"],)
    if kind == "index":
        return (node["value"],)
    if kind in ("identity", "current"):
        return ()
    if kind == "flatten" or (kind == "function_expression" and node["value"] in ("to_string", "not_null")):
        return _path(children[0])
    if kind == "or_expression":
        return next((path for child in children if (path := _path(child)) is not None), None)
    if kind == "and_expression":
        return _path(children[-1])
    if kind in ("subexpression", "index_expression"):
        return _joined(*map(_path, children))
    if kind in ("projection", "filter_projection"):
        inner = _path(children[0])
        return _joined(None if inner is None else (*inner, 0), _path(children[1]))
    return None


def _joined(*paths: tuple[str | int, ...] | None) -> tuple[str | int, ...] | None:
    known = [path for path in paths if path is not None]
    return tuple(chain.from_iterable(known)) if len(known) == len(paths) else None
