"""The console script ``webhook-service``."""

import os
import pkgutil
from pathlib import Path
from typing import Any

import click

COMMANDS = {
    "backup": "webhook_service.commands.backup:backup",
    "config": "webhook_service.commands.config:config",
    "demo": "webhook_service.commands.demo:demo",
    "erase": "webhook_service.commands.prune:erase",
    "export": "webhook_service.commands.export:export",
    "forward": "webhook_service.commands.forward:forward",
    "import": "webhook_service.commands.import_:import_",
    "listen": "webhook_service.commands.listen:listen",
    "migrate": "webhook_service.commands.migrate:migrate",
    "prune": "webhook_service.commands.prune:prune",
    "quarantine": "webhook_service.commands.quarantine:quarantine",
    "resend": "webhook_service.commands.resend:resend",
    "send": "webhook_service.commands.send:send",
    "serve": "webhook_service.commands.serve:serve",
    "sources": "webhook_service.commands.sources:sources",
    "stats": "webhook_service.commands.stats:stats",
}


class _LazyGroup(click.Group):
    """Imports a command when it is called: to load the libraries of all takes longer than most commands need."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        if name not in self.commands:
            command: click.Command = pkgutil.resolve_name(COMMANDS[name])
            _prepare(command)
            self.add_command(command)
        return self.commands[name]


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
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
            help="Folder of a SQLite database whose path is relative.  [default: the folder of a checkout]",
        ),
    ]


class _Text(click.types.StringParamType):
    """A text that a database can store; an argument of a command line may be any bytes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text: str = super().convert(value, param, ctx)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail("not UTF-8", param, ctx)
        return text


def _prepare(command: click.Command) -> None:
    """Has the texts given to a command checked, and adds the options that say where the settings are.

    Applies to subcommands too.
    """
    for parameter in command.params:
        if parameter.type is click.STRING:
            parameter.type = _Text()
    command.params += _where_settings_are()
    if isinstance(command, click.Group):
        for below in command.commands.values():
            _prepare(below)
