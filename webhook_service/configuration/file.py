"""The file of configuration as a whole: ``webhook-service.toml``, or the one that ``CONFIG_FILE`` names."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from webhook_service.configuration.line_numbers import KeyPath, find_lines, line_of
from webhook_service.configuration.tables import Surroundings, Table

FILE_NAME = "webhook-service.toml"

T = TypeVar("T")
_LONGEST_KEY = 64  # the most characters of a key that are shown
_UNSHOWN = re.compile(r"[^A-Za-z0-9_ -]")
_PLACE = re.compile(r"(.*) \(at (?:line ([0-9]+), column [0-9]+|end of document)\)", re.DOTALL)

Load = Callable[[str, Table], T | None]
"""Makes an object of a table ``[SECTION.NAME]``, given its name; None when it can't, and reported why to the table."""


class FileInvalid(Exception):
    """The file can't be read at all; ``problem`` says why, in a line."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


@dataclass(slots=True)
class ConfigFile:
    """The parsed file, and the problems that were found in it, each with its key path."""

    name: str
    text: str = field(repr=False)
    values: Mapping[str, Any] = field(repr=False)
    around: Surroundings
    _problems: list[tuple[KeyPath, str]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path, environ: Mapping[str, str]) -> "ConfigFile":
        """Reads and parses a file; secrets are looked up in ``environ``. Raises FileInvalid."""
        try:
            text = path.read_text(encoding="utf-8")
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise FileInvalid(_syntax_problem(path.name, text, error)) from None
        except (OSError, UnicodeDecodeError, RecursionError) as error:
            raise FileInvalid(f"{path.name}: can't be read ({type(error).__name__})") from None
        except ValueError:  # of Python itself, which reads no number of more digits: sys.set_int_max_str_digits
            raise FileInvalid(f"{path.name}: has a number with too many digits") from None
        return cls(path.name, text, values, Surroundings(environ, path.absolute().parent))

    def load(self, section: str, load: Load[T]) -> dict[str, T]:
        """Loads each ``[SECTION.NAME]`` of the file, by name; those with problems are left out."""
        loaded = {}
        for name, values in self._section(section).items():
            if not isinstance(values, dict):
                self.report((section, name), "must be a table")
                continue
            value = load(name, Table(values, (section, name), self.around, self._problems))
            if value is not None:
                loaded[name] = value
        return loaded

    def report(self, path: KeyPath, text: str) -> None:
        """Adds a problem with the value at a key path."""
        self._problems.append((path, text))

    def finish(self, *sections: str) -> list[str]:
        """Returns all problems, in the order of their lines; whatever is not in ``sections`` is one, too."""
        top = Table(self.values, (), self.around, self._problems)
        for section in sections:
            top.take_table(section)
        top.finish()
        if not self._problems:
            return []
        lines = find_lines(self.text)
        placed = sorted((line_of(path, lines) or 0, _written(path), text) for path, text in self._problems)
        return [
            ": ".join(part for part in (f"{self.name}, line {line}" if line else self.name, key, text) if part)
            for line, key, text in placed
        ]

    def _section(self, section: str) -> Mapping[str, Any]:
        values = self.values.get(section)
        return values if isinstance(values, dict) else {}


def _syntax_problem(name: str, text: str, error: tomllib.TOMLDecodeError) -> str:
    """Says why a file is not TOML. The library's text quotes single characters and keys, but no value."""
    placed = _PLACE.fullmatch(str(error))
    if placed is None:
        return f"{name}: not TOML: {error}"
    line = placed[2] or len(text.splitlines())
    return f"{name}, line {line}: not TOML: {placed[1]}"


def _written(path: KeyPath) -> str:
    """Writes a key path as a person would: ``sources.shop.secrets[0]``."""
    written = ""
    for key in (_UNSHOWN.sub("?", key[:_LONGEST_KEY]) for key in path):
        written += f"[{key}]" if key.isdigit() and written else f"{'.' if written else ''}{key}"
    return written
