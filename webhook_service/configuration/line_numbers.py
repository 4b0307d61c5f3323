"""Finds the lines of a TOML file at which its keys stand, which ``tomllib`` does not tell.

Each statement is parsed by itself: lines are joined until they are a whole statement.
TOML: https://toml.io/en/v1.0.0
"""

import tomllib
from collections import Counter
from collections.abc import Iterator
from typing import Any

KeyPath = tuple[str, ...]
"""The keys that lead to a value from the top of the file; an element of a list has its number, from 0, as text."""


def find_lines(text: str) -> dict[KeyPath, int]:
    """Returns the line, counted from 1, of each table, key and element of a list in a valid TOML text."""
    found: dict[KeyPath, int] = {}
    elements: Counter[KeyPath] = Counter()  # the number of elements so far, of lists of tables
    table: KeyPath = ()
    for number, statement in _statements(text):
        parsed = tomllib.loads(statement)
        is_header = statement.lstrip().startswith("[")
        if is_header:
            table = _numbered(_only_path(parsed), elements, is_element=statement.lstrip().startswith("[["))
        start = () if is_header else table
        for path, offset in ({table: 0} if is_header else _paths_in(parsed, statement)).items():
            for length in range(1, len(path) + 1):
                found.setdefault(start + path[:length], number + offset)
    return found


def line_of(path: KeyPath, lines: dict[KeyPath, int]) -> int | None:
    """Returns the line of a key, or else that of the nearest table around it; None when neither is in the file."""
    return next((lines[path[:length]] for length in range(len(path), 0, -1) if path[:length] in lines), None)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yields each statement with the number of its first line."""
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        end = at + 1
        while end < len(lines) and not _is_whole("\n".join(lines[at:end])):
            end += 1
        statement = "\n".join(lines[at:end])
        if statement.strip() and not statement.lstrip().startswith("#"):
            yield at + 1, statement
        at = end


def _is_whole(statement: str) -> bool:
    try:
        tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _only_path(parsed: Any) -> KeyPath:
    """Returns the key path of a table's header, which was parsed by itself."""
    path: KeyPath = ()
    while parsed:
        (key, parsed), *_ = parsed.items()
        path += (key,)
        parsed = parsed[0] if isinstance(parsed, list) else parsed
    return path


def _numbered(header: KeyPath, elements: Counter[KeyPath], *, is_element: bool) -> KeyPath:
    """Returns a header's path with the numbers of elements, wherever it leads through a list of tables."""
    path: KeyPath = ()
    for place, key in enumerate(header):
        path += (key,)
        if is_element and place == len(header) - 1:
            elements[path] += 1
        if elements[path]:
            path += (str(elements[path] - 1),)
    return path


def _paths_in(parsed: Any, statement: str) -> dict[KeyPath, int]:
    """Returns the key paths in a statement, each with the line of the statement at which it begins, from 0."""
    found: dict[KeyPath, int] = {}
    lines = statement.split("\n")

    def walk(value: Any, path: KeyPath, offset: int) -> None:
        found[path] = offset
        if isinstance(value, dict):
            for key, member in value.items():
                walk(member, (*path, key), offset)
        elif isinstance(value, list):
            offsets = _offsets(lines) if len(lines) > 1 and not offset else []
            for place, element in enumerate(value):
                walk(element, (*path, str(place)), offsets[place] if place < len(offsets) else offset)

    for key, value in parsed.items():
        walk(value, (key,), 0)
    return found


def _offsets(lines: list[str]) -> list[int]:
    """Returns the line at which each element of a list begins, from 0, by trying to close the list after each line."""
    offsets: list[int] = []
    for end in range(1, len(lines) + 1):
        closed = "\n".join(lines[:end]) + ("\n]" if end < len(lines) else "")
        if _is_whole(closed):
            offsets += [end - 1] * (_length(tomllib.loads(closed)) - len(offsets))
    return offsets


def _length(parsed: Any) -> int:
    """Counts the elements of the list that the first keys lead to."""
    while isinstance(parsed, dict):
        parsed = next(iter(parsed.values()), [])
    return len(parsed) if isinstance(parsed, list) else 0
