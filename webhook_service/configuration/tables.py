"""One table of the file, read key by key.

Problems are collected. None of them quotes a value, since that may be a secret.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar

from webhook_service.configuration.line_numbers import KeyPath
from webhook_service.domain.spelling import nearest

T = TypeVar("T", str, bool, int, float, dict[str, Any], list[Any])

_KINDS: Mapping[type, str] = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "a table",
    list: "a list",
}
NOT_INLINE = 'must be {env = "NAME"} or {file = "path"}'


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The places that secrets are read from: the environment, and the folder at which relative paths start."""

    environ: Mapping[str, str] = field(repr=False)
    folder: Path


class Table:
    """A table at a key path. Each ``take_…`` reads one key; ``finish`` reports the keys that were not read."""

    def __init__(
        self, values: Mapping[str, Any], path: KeyPath, around: Surroundings, problems: list[tuple[KeyPath, str]]
    ) -> None:
        self.values = values
        self.path = path
        self._around = around
        self._problems = problems
        self._taken: set[str] = set()

    def report(self, keys: KeyPath, text: str) -> None:
        """Adds a problem with what ``keys`` lead to from this table; the text must not quote a value."""
        self._problems.append((self.path + keys, text))

    def take(self, key: str, kind: type[T], *, required: bool = False) -> T | None:
        """Reads a value of one kind; None when it is of another kind, which is reported, or missing.

        That it is missing is reported if it is ``required``.
        """
        self._taken.add(key)
        value = self.values.get(key)
        if value is None:
            if required:
                self.report((key,), "missing")
            return None
        if not isinstance(value, kind) or (kind in {int, float} and isinstance(value, bool)):
            self.report((key,), f"must be {_KINDS[kind]}")
            return None
        return value

    def take_text(self, key: str, *, required: bool = False) -> str | None:
        """Reads a text that is not empty."""
        value = self.take(key, str, required=required)
        if value is not None and not value.strip():
            self.report((key,), "must not be empty")
            return None
        return value

    def take_choice(self, key: str, choices: Collection[str], *, required: bool = False) -> str | None:
        """Reads one of the words in ``choices``."""
        value = self.take_text(key, required=required)
        if value is None or value in choices:
            return value
        meant = nearest(value, choices)
        self.report((key,), f"unknown; did you mean {meant}?" if meant else f"must be one of {', '.join(choices)}")
        return None

    def take_moment(self, key: str) -> datetime | None:
        """Reads a date and time with an offset from UTC, or a date, which stands for its first moment in UTC."""
        self._taken.add(key)
        value = self.values.get(key)
        if isinstance(value, datetime) and value.tzinfo:
            try:
                return value.astimezone(UTC)
            except OverflowError:
                self.report((key,), "must be within the years 1 to 9999 of UTC")
                return None
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
        if value is not None:
            self.report((key,), "must be a date, or a date and time with an offset such as 2026-01-31T12:00:00Z")
        return None

    def take_secret(self, key: str, *, required: bool = False) -> str | None:
        """Reads a secret that is in an environment variable or in a file."""
        holder = self.take_table(key, required=required, otherwise=NOT_INLINE)
        if holder is None:
            return None
        secret = holder.resolve_secret()
        holder.finish()
        return secret

    def resolve_secret(self) -> str | None:
        """Reads the secret that the keys ``env`` or ``file`` of this table lead to."""
        variable, file = self.take_text("env"), self.take_text("file")
        if (variable is None) == (file is None):
            if not self._has_problems_with("env", "file"):
                self.report((), NOT_INLINE)
            return None
        if variable is not None:
            value = self._around.environ.get(variable, "").strip()
            if not value:
                self.report(("env",), "this variable is not set")
            return value or None
        return self._content(self._around.folder / str(file))

    def take_table(self, key: str, *, required: bool = False, otherwise: str = "") -> "Table | None":
        """Reads a table within this one; ``otherwise`` is the problem to report for a value that is not a table."""
        if otherwise and key in self.values and not isinstance(self.values[key], dict):
            self._taken.add(key)
            self.report((key,), otherwise)
            return None
        values = self.take(key, dict, required=required)
        return None if values is None else self.below(values, key)

    def take_tables(self, key: str, *, otherwise: str = "must be a table") -> Iterator["Table"]:
        """Reads a list of tables; ``otherwise`` is the problem to report for an element that is not a table."""
        for place, values in enumerate(self.take(key, list) or []):
            if isinstance(values, dict):
                yield self.below(values, key, str(place))
            else:
                self.report((key, str(place)), otherwise)

    def take_any(self, keys: Collection[str]) -> dict[str, Any]:
        """Reads those of the keys that are there, without checking them."""
        self._taken |= set(keys)
        return {key: value for key, value in self.values.items() if key in keys}

    def finish(self) -> None:
        """Reports every key that was not read, with the known key that may be meant."""
        for key in self.values.keys() - self._taken:
            meant = nearest(key, self._taken)
            hint = f"did you mean {meant}?" if meant else f"known are {', '.join(sorted(self._taken))}"
            self.report((key,), f"unknown key; {hint}")

    def below(self, values: Mapping[str, Any], *keys: str) -> "Table":
        """Makes the table at a key path below this one."""
        return Table(values, self.path + keys, self._around, self._problems)

    def _has_problems_with(self, *keys: str) -> bool:
        paths = {(*self.path, key) for key in keys}
        return any(path in paths for path, _ in self._problems)

    def _content(self, file: Path) -> str | None:
        try:
            content = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError, ValueError) as error:
            self.report(("file",), f"can't be read ({type(error).__name__})")
            return None
        if not content:
            self.report(("file",), "this file is empty")
        return content or None
