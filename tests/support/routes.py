"""Every route of an application, with a path that matches it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from flask import Flask

_VALUES: dict[str, Any] = {
    "name": "native",
    "message_id": "a",
    "version": "a",
    "digest": "0",
    "entry_id": 1,
    "dead_letter_id": 1,
}


class Route(NamedTuple):
    """One method of a route."""

    endpoint: str
    rule: str
    method: str
    path: str


def walk(app: Flask) -> Iterator[Route]:
    """Yields every route with each of its methods, except HEAD and OPTIONS, which Flask adds."""
    for rule in app.url_map.iter_rules():
        built = rule.build(_VALUES, append_unknown=False)
        assert built is not None, f"no value for a part of {rule}"
        _, path = built
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield Route(rule.endpoint, rule.rule, method, path)
