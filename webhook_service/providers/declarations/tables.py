"""Strict reading of a declaration's tables: every problem is collected, and no value is ever shown."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str, ...]
Problem = tuple[Path, str]

_NAME_SHOWN = 40  # characters of an unknown key


class DeclarationInvalid(Exception):
    """A declaration that can't be used; ``problems`` are the paths of keys below the source, each with what is wrong.

    No text shows a value, since any value may be a secret.
    """

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{'.'.join(path)}: {text}" for path, text in problems))
        self.problems = problems


@dataclass
class DeclarationTable:
    """A table that is being read: problems with a value are noted, and None is returned in its place."""

    values: Mapping[str, Any]
    path: Path = ()
    problems: list[Problem] = field(default_factory=list)
    _known: set[str] = field(default_factory=set)

    def report(self, key: str, text: str) -> None:
        """Notes what is wrong with a key, or with the table itself if ``key`` is empty."""
        self.problems.append(((*self.path, key) if key else self.path, text))

    def has(self, key: str) -> bool:
        """Tells whether a key is set."""
        return key in self.values

    def take_text(self, key: str, *, required: bool = False, longest: int = 1000) -> str | None:
        """Reads a text of 1 to ``longest`` characters."""
        value = self._value(key, required=required)
        if value is None:
            return None
        if isinstance(value, str) and 0 < len(value) <= longest and "\x00" not in value:
            return value
        self.report(key, f"not a text of 1 to {longest} characters")
        return None

    def take_choice(self, key: str, choices: Collection[str], *, required: bool = False) -> str | None:
        """Reads one of the words in ``choices``."""
        value = self._value(key, required=required)
        if value is None or (isinstance(value, str) and value in choices):
            return value
        self.report(key, f"not one of {', '.join(choices)}")
        return None

    def take_integer(self, key: str, least: int, most: int) -> int | None:
        """Reads a whole number from ``least`` to ``most``, both included."""
        value = self._value(key)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.report(key, f"not a whole number from {least} to {most}")
        return None

    def take_flag(self, key: str) -> bool | None:
        """Reads true or false."""
        value = self._value(key)
        if value is None or isinstance(value, bool):
            return value
        self.report(key, "neither true nor false")
        return None

    def take_any(self, key: str) -> Any:
        """Returns a value of any kind, which the caller checks; None when the key isn't set."""
        return self._value(key)

    def take_table(self, key: str, *, required: bool = False) -> "DeclarationTable | None":
        """Reads a table within this one; problems with it are added to those of this one."""
        value = self._value(key, required=required)
        if value is None:
            return None
        if isinstance(value, Mapping):
            return DeclarationTable(value, (*self.path, key), self.problems)
        self.report(key, "not a table")
        return None

    def take_tables(self, key: str) -> "list[DeclarationTable]":
        """Reads a table or a list of tables."""
        value = self._value(key)
        if value is None:
            return []
        if isinstance(value, Mapping):
            return [DeclarationTable(value, (*self.path, key), self.problems)]
        if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
            return [DeclarationTable(each, (*self.path, key, str(at)), self.problems) for at, each in enumerate(value)]
        self.report(key, "neither a table nor a list of tables")
        return []

    def finish(self) -> None:
        """Notes every key that was not read. It has to be called last."""
        for key in self.values:
            if key not in self._known:
                shown = key if isinstance(key, str) and key.isprintable() and len(key) <= _NAME_SHOWN else "…"
                known = ", ".join(sorted(self._known))
                self.problems.append(((*self.path, shown), f"unknown; known here: {known}"))

    def _value(self, key: str, *, required: bool = False) -> Any:
        self._known.add(key)
        value = self.values.get(key)
        if value is None and required:
            self.report(key, "missing")
        return value
