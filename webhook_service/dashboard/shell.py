"""Commands that a reader of the pages pastes into a shell."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from webhook_service.providers.native import Native


@dataclass(frozen=True, slots=True)
class Shell:
    """A shell on the machine that the service runs on.

    ``from_outside`` is what starts the program in its container from a shell outside, if Compose started it. Otherwise
    the program finds its settings and its data by ``env_file`` and ``data_dir``, where these were given.
    """

    from_outside: str | None = None
    env_file: str | None = None
    data_dir: str | None = None

    def command_to_send(self, source: str, url: str) -> str:
        """Returns the command that sends one test message to the service at ``url``, as the source would."""
        chosen = [] if source == Native.name else ["--source", source]
        if self.from_outside:
            # The address that browsers use may lead nowhere inside; the program there knows its server's.
            return f"{self.from_outside} {shlex.join(['send', *chosen])}"
        given = {"--env-file": self.env_file, "--data-dir": self.data_dir}
        options = [part for option, path in given.items() if path for part in (option, path)]
        return shlex.join([*_program(), "send", *chosen, *options, "--url", url])


def _program() -> list[str]:
    """Returns what starts the program that runs here, whatever the PATH of the shell."""
    script = Path(sys.executable).with_name("webhook-service")
    return [str(script)] if script.is_file() else [sys.executable, "-m", "webhook_service"]
