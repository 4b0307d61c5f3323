"""The console script in this process, which spares a test the second that a new one takes to start."""

from collections.abc import Mapping
from subprocess import CompletedProcess

from click.testing import CliRunner

from webhook_service.cli import main


def call_cli(*arguments: str, environ: Mapping[str, str]) -> CompletedProcess[str]:
    """Runs ``webhook-service`` to its end; raises what would have ended a process of its own with a traceback."""
    result = CliRunner().invoke(main, arguments, env=environ, catch_exceptions=False)
    return CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)
