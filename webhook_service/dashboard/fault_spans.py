"""The fields at fault in a body: in JSON by their paths, in a form by their names."""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_plus

Span = tuple[int, int]

_JSON = re.compile(r"\s*[{\[]")
# A name that is cut at the end of the body goes to the end, too.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[][{}:,]|[^][{}:,"\s]+')
_STEP = re.compile(r"(?<!^)(?:\.|(?=\[))")
_NAME_IN_FORM = re.compile(r"(?:^|(?<=&))[^&=]+")


def split_at_faults(text: str, paths: Collection[str]) -> Sequence[str]:
    """Splits a body, which may be cut, at what the paths lead to; every second piece is a name or item at fault.

    A path is that of a field of JSON (``messages[1].timestamp``) or the name of a field of a form. What the body lacks,
    or what a provider names otherwise than its body does, is not found.
    """
    find = _find_in_json if _JSON.match(text) else _find_in_form
    pieces, at = [], 0
    for begin, end in find(text, frozenset(paths)) if paths else ():
        pieces += [text[at:begin], text[begin:end]]
        at = end
    return [*pieces, text[at:]]


def _find_in_form(text: str, names: Collection[str]) -> Iterator[Span]:
    return (found.span() for found in _NAME_IN_FORM.finditer(text) if unquote_plus(found[0]) in names)


@dataclass(slots=True)
class _Around:
    """An object or, if ``place`` is the number of its next item, a list; no fault is below one whose path is None."""

    path: str | None
    place: int | None


def _find_in_json(text: str, paths: Collection[str]) -> Iterator[Span]:
    """Finds the names and the first parts of items; it reads JSON only so far as to know where it is."""
    leading = {path[: step.start()] for path in paths for step in _STEP.finditer(path)} | {""}
    around: list[_Around] = []
    path: str | None = ""
    begins = False  # a member of an object or a list
    for found in _TOKEN.finditer(text):
        part = found[0]
        if part in {"}", "]"}:
            begins = False
            del around[-1:]
        elif part in {",", ":"}:
            begins = part == ","
        else:
            is_name = begins and bool(around) and around[-1].place is None
            if begins and around:
                path = _step(around[-1], part)
                if path in paths:
                    yield found.span()
            begins = False
            if part in {"{", "["} and not is_name:
                around.append(_Around(path if path in leading else None, 0 if part == "[" else None))
                begins = True


def _step(around: _Around, part: str) -> str | None:
    """Returns the path of the member that begins with this part; None where no fault can be."""
    if around.place is not None:
        around.place += 1
    if around.path is None:
        return None
    if around.place is not None:
        return f"{around.path}[{around.place - 1}]"
    name = _read(part)
    return f"{around.path}.{name}" if around.path else name


def _read(name: str) -> str:
    try:
        return str(json.loads(name))
    except ValueError:
        return name
