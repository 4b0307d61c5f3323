"""Environment variables, read one by one."""

import re
from collections.abc import Mapping
from pathlib import Path

from webhook_service.domain.secrets import Secrets

_SMALL_NUMBER = re.compile(r"[0-9]{1,12}")


class Variables:
    """Reads the variables of one environment, and collects the ``problems`` with them, a line each."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[str] = []

    def secrets(self, name: str) -> Secrets | None:
        """Reads a secret and the previous one, which it replaces."""
        current = self.secret_text(name)
        previous = self.secret_text(f"{name}_PREVIOUS")
        if current is None:
            if previous is not None:
                self.problems.append(f"{name}_PREVIOUS: set without {name}")
            return None
        return Secrets(current, previous)

    def secret_text(self, name: str) -> str | None:
        """Reads a text that may instead be the content of a file."""
        value, path = self.text(name), self.text(f"{name}_FILE")
        if path is None:
            return value
        if value is not None:
            self.problems.append(f"{name}: set both by itself and by {name}_FILE")
            return None
        try:
            content = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            self.problems.append(f"{name}_FILE: can't be read ({type(error).__name__})")
            return None
        if not content:
            self.problems.append(f"{name}_FILE: the file is empty")
        return content or None

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """Reads one of the words in ``choices``, in whatever case, and returns it in capitals."""
        value = (self.text(name) or default).upper()
        if value not in choices:
            self.problems.append(f"{name}: not one of {', '.join(choices)}")
        return value

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        """Reads a whole number from ``least`` to ``most``, both included."""
        value = self.text(name)
        if value is None:
            return default
        if not (_SMALL_NUMBER.fullmatch(value) and least <= int(value) <= most):
            self.problems.append(f"{name}: not a whole number from {least} to {most}")
            return default
        return int(value)

    def text(self, name: str) -> str | None:
        """Reads a variable; None when it is missing or empty."""
        return self.environ.get(name, "").strip() or None
