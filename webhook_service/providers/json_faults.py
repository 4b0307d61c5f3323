"""Names what strict JSON refuses although some parsers take it, and finds where it stands in a text."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

MAX_DEPTH = 64
"""The deepest nesting of objects and arrays: far more than any provider sends, far from the limit on recursion."""

LONE_SURROGATE = "an escaped surrogate stands alone"
MOST_SEARCHED = 16 * 2**10  # characters, which takes 7 ms; a parser in C reads them in a hundredth of that
TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"

_INT64_DIGITS = 20  # with a sign
_NAME_SHOWN = 64  # characters
_CONSTANTS = {"NaN", "Infinity", "-Infinity"}
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
_TOKEN = re.compile(rf'"(?:[^"\\]|\\.)*"(\s*:)?|[{{}}\[\]]|NaN|-?Infinity|{_NUMBER}')


def repeated(name: str) -> str:
    """Says that a name stands twice in an object."""
    shown = f"'{name}'" if name.isprintable() and len(name) <= _NAME_SHOWN else "of a field"
    return f"the name {shown} stands twice in one object"


def no_number(constant: str) -> str:
    """Says that a constant, such as NaN, is no number."""
    return f"{constant} is not a number"


def too_large(digits: str) -> str | None:
    """Says that a number is too large for 64 bits; None when it is not."""
    if digits.lstrip("-").isdigit():
        kind, fits = "integer", len(digits) <= _INT64_DIGITS and -(2**63) <= int(digits) < 2**63
    else:
        kind, fits = "number", math.isfinite(float(digits))
    shown = digits if len(digits) <= _INT64_DIGITS else f"{digits[:_INT64_DIGITS]}…"
    return None if fits else f"the {kind} {shown} is too large for 64 bits"


def has_lone_surrogate(value: Any) -> bool:
    """Tells whether a text in a value has a surrogate that is not one of a pair."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def place_of(fault: str, text: str) -> str:
    """Returns where a fault stands, as ``, at line 1, column 7``; nothing in a text that would take long to search.

    The text has to be valid JSON as far as the fault.
    """
    if len(text) > MOST_SEARCHED:
        return ""
    index = next((index for index, found in _faults(text) if found == fault), None)
    if index is None:
        return ""
    line_start = text.rfind("\n", 0, index) + 1
    return f", at line {text.count(chr(10), 0, index) + 1}, column {index - line_start + 1}"


def _faults(text: str) -> Iterator[tuple[int, str]]:
    open_: list[set[str]] = []  # the names so far in each object or array around a token
    for token in _TOKEN.finditer(text):
        for fault in _faults_of(token, open_):
            yield token.start(), fault


def _faults_of(token: re.Match[str], open_: list[set[str]]) -> Iterator[str]:
    word = token[0]
    if word in {"{", "["}:
        open_.append(set())
        if len(open_) == MAX_DEPTH + 1:
            yield TOO_DEEP
    elif word in {"}", "]"}:
        open_.pop()
    elif word[0] == '"' and "\\u" in word and has_lone_surrogate(json.loads(word.rstrip(": \t\n\r"))):
        yield LONE_SURROGATE
    elif token[1] is not None:
        name = json.loads(word.rstrip(": \t\n\r"))
        if name in open_[-1]:
            yield repeated(name)
        open_[-1].add(name)
    elif word in _CONSTANTS:
        yield no_number(word)
    elif word[0] != '"' and (fault := too_large(word)):
        yield fault
