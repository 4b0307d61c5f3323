"""JSON as RFC 8259 means it, with nothing left to a parser's taste.

Two readers of one body must never see two different messages, so what parsers disagree about is refused:
duplicate names (RFC 8259, section 4), NaN and infinities, other encodings than UTF-8 (section 8.1), lone
surrogates (section 8.2), and nesting or numbers beyond any sane size (section 9).
"""

import json
import math
from collections.abc import Iterable
from typing import Any, NoReturn

from webhook_service.domain.errors import PayloadInvalid
from webhook_service.domain.results import Reason

BODY = "body"
MAX_DEPTH = 64
"""Objects and arrays within each other: far more than any provider sends, far less than what ends in recursion."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return value


def _refuse_constant(_constant: str) -> NoReturn:
    raise ValueError("NaN and infinities are not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _int64(digits: str) -> int:
    number = int(digits)
    if not -(2**63) <= number < 2**63:
        raise ValueError("an integer is too large")
    return number


_decoder = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_int64
)


def loads(raw: bytes) -> Any:
    """The value that ``raw`` holds; PayloadInvalid when it is not exactly one strict JSON text."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise PayloadInvalid(Reason.NOT_UTF8, {BODY: ["Not valid UTF-8."]}) from None
    try:
        value = _decoder.decode(text)
        if text.count("{") + text.count("[") > MAX_DEPTH:
            _refuse_deep_nesting(value)
        if "\\u" in text:
            _refuse_lone_surrogates(value)
    except (ValueError, RecursionError):
        raise PayloadInvalid(Reason.NOT_JSON, {BODY: ["Not valid JSON."]}) from None
    return value


def loads_object(raw: bytes) -> dict[str, Any]:
    """The JSON object that ``raw`` holds; PayloadInvalid when it holds anything else."""
    value = loads(raw)
    if not isinstance(value, dict):
        raise PayloadInvalid(Reason.NOT_AN_OBJECT, {BODY: ["Not a JSON object."]})
    return value


def _refuse_deep_nesting(value: Any) -> None:
    # What is read here is written again elsewhere, by encoders that recurse on a fuller stack than this one.
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for outer in level for inner in _contents(outer)]
        if not level:
            return
    raise ValueError("nested too deeply")


def _contents(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _refuse_lone_surrogates(value: Any) -> None:
    json.dumps(value, ensure_ascii=False).encode("utf-8")
