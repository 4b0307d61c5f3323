"""Routing: assigns the items that come to one address to several sources."""

from collections.abc import Mapping
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

JMESPATH_FAILURES = (JMESPathError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""The exceptions that the library raises for an expression that it can't compile, or a value that one can't take."""


class Route:
    """Finds the source of an item by a value in it.

    ``by`` is a JMESPath (https://jmespath.org/specification.html) to that value, ``to`` names the source for each known
    value. Raises ValueError when ``by`` is not a JMESPath.
    """

    def __init__(self, by: str, to: Mapping[str, str]) -> None:
        try:
            self._find = jmespath.compile(by)
        except JMESPATH_FAILURES as error:
            raise ValueError("not a JMESPath") from error
        self._to = dict(to)

    def source_of(self, item: Any, otherwise: str) -> str:
        """Returns the source that an item belongs to, or ``otherwise`` when its value is unknown or missing."""
        try:
            value = self._find.search(item)
        except JMESPATH_FAILURES:  # a function in the expression can't take the value that was found
            return otherwise
        if isinstance(value, str):
            return self._to.get(value, otherwise)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return self._to.get(str(value), otherwise) if is_number else otherwise
