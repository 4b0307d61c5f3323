"""The console script ``webhook-service``."""

import os
from pathlib import Path

import click

from webhook_service.commands.backup import backup
from webhook_service.commands.config import config
from webhook_service.commands.demo import demo
from webhook_service.commands.export import export
from webhook_service.commands.forward import forward
from webhook_service.commands.import_ import import_
from webhook_service.commands.listen import listen
from webhook_service.commands.migrate import migrate
from webhook_service.commands.prune import erase, prune
from webhook_service.commands.quarantine import quarantine
from webhook_service.commands.resend import resend
from webhook_service.commands.send import send
from webhook_service.commands.serve import serve
from webhook_service.commands.sources import sources
from webhook_service.commands.stats import stats


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="webhook_service", message="%(prog)s %(version)s")
def main() -> None:
    """A self-hosted inbox for provider messages."""


def _set(_context: click.Context, option: click.Parameter, given: Path | None) -> None:
    """Puts an option into the environment, where all that read the settings find it, also the server of ``serve``."""
    if given is not None:
        os.environ[str(option.name).upper()] = str(given)


def _where_settings_are() -> list[click.Parameter]:
    file = click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path)
    folder = click.Path(file_okay=False, resolve_path=True, path_type=Path)
    return [
        click.Option(
            ["--env-file"],
            type=file,
            expose_value=False,
            callback=_set,
            help="A file of settings, for what the environment leaves out.  [default: .env of a checkout]",
        ),
        click.Option(
            ["--data-dir"],
            type=folder,
            expose_value=False,
            callback=_set,
            help="Folder of a SQLite database whose path is relative.  [default: data/ of a checkout]",
        ),
    ]


def _add_options(command: click.Command) -> None:
    """Adds the options that say where the settings are to a command, and to all commands below it."""
    command.params += _where_settings_are()
    if isinstance(command, click.Group):
        for below in command.commands.values():
            _add_options(below)


for command in (
    *(serve, migrate, forward, listen, resend, send, demo, backup, export, import_),
    *(prune, erase, stats, sources, quarantine, config),
):
    main.add_command(command)
_add_options(main)
