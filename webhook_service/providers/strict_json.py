"""JSON as RFC 8259 defines it, with nothing left to a parser's discretion.

Two readers of one body must never see two different messages, so everything that parsers disagree about is refused:
duplicate names (RFC 8259, section 4), NaN and infinities, other encodings than UTF-8 (section 8.1), lone
surrogates (section 8.2), and nesting or numbers beyond any sane size (section 9).
"""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, NoReturn

from webhook_service.domain.errors import PayloadInvalid
from webhook_service.domain.results import Reason
from webhook_service.providers.json_faults import (
    LONE_SURROGATE,
    MAX_DEPTH,
    TOO_DEEP,
    has_lone_surrogate,
    no_number,
    place_of,
    repeated,
    too_large,
)

BODY = "body"


class _NotStrict(ValueError):
    """A text that some parser would accept and this one refuses; the message ends the sentence that the sender sees."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _NotStrict(repeated(Counter(name for name, _ in pairs).most_common(1)[0][0]))
    return value


def _refuse_constant(constant: str) -> NoReturn:
    raise _NotStrict(no_number(constant))


def _float64(digits: str) -> float:
    if fault := too_large(digits):
        raise _NotStrict(fault)
    return float(digits)


def _int64(digits: str) -> int:
    if fault := too_large(digits):
        raise _NotStrict(fault)
    return int(digits)


_decoder = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_float64, parse_int=_int64
)


def loads(raw: bytes, *, locates: bool = True) -> Any:
    """Returns the value in ``raw``; PayloadInvalid, which says why, when that is not exactly one strict JSON text.

    With ``locates`` it says where, too. To find that takes longer than to parse, so it is not for unverified bodies.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PayloadInvalid(Reason.NOT_UTF8, {BODY: [f"Not valid UTF-8: byte {error.start + 1} is wrong."]}) from None
    try:
        return _decode(text)
    except json.JSONDecodeError as error:
        why = f"{error.msg.removesuffix(' at')} at line {error.lineno}, column {error.colno}"
    except _NotStrict as error:
        why = f"{error}{place_of(str(error), text)}" if locates else str(error)
    except RecursionError:
        why = f"{TOO_DEEP}{place_of(TOO_DEEP, text)}" if locates else TOO_DEEP
    raise PayloadInvalid(Reason.NOT_JSON, {BODY: [f"Not valid JSON: {why}."]})


def _decode(text: str) -> Any:
    value = _decoder.decode(text)
    if text.count("{") + text.count("[") > MAX_DEPTH:
        _refuse_deep_nesting(value)
    if "\\u" in text and has_lone_surrogate(value):
        raise _NotStrict(LONE_SURROGATE)
    return value


def loads_object(raw: bytes, *, locates: bool = True) -> dict[str, Any]:
    """Returns the JSON object in ``raw``, as ``loads`` does; PayloadInvalid for anything else."""
    value = loads(raw, locates=locates)
    if not isinstance(value, dict):
        raise PayloadInvalid(Reason.NOT_AN_OBJECT, {BODY: ["Not a JSON object."]})
    return value


def _refuse_deep_nesting(value: Any) -> None:
    # What is read here is written again elsewhere, by encoders that recurse with less of the stack left than here.
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for outer in level for inner in _contents(outer)]
        if not level:
            return
    raise _NotStrict(TOO_DEEP)


def _contents(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
