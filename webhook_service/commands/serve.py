"""``webhook-service serve``."""

import errno
import os
import socket
import sys
from functools import partial

import click

from webhook_service.commands.cli_errors import naming, plain_failures
from webhook_service.settings import Settings
from webhook_service.shipped import shipped
from webhook_service.storage.migrate import migrate

APPLICATION = "webhook_service.app:create_app()"


@click.command()
@click.option(
    "--migrate", "has_to_migrate", is_flag=True, help="First bring the database to the schema of this release."
)
def serve(has_to_migrate: bool) -> None:  # a flag of the command line
    """Serve at the address in BIND, by gunicorn, which takes the place of this process.

    Options for gunicorn may stand in GUNICORN_CMD_ARGS.
    """
    with plain_failures():
        settings = Settings.from_env()
        _refuse_taken(settings.bind)
        if has_to_migrate:
            with naming(settings.database_url):
                migrate(settings.database_url, partial(click.echo, err=True))
    # gunicorn itself reads WEB_CONCURRENCY, and fails if it is empty.
    environ = {name: value for name, value in os.environ.items() if name != "WEB_CONCURRENCY" or value.strip()}
    gunicorn = [sys.executable, "-m", "gunicorn", "--config", str(shipped("gunicorn.conf.py")), APPLICATION]
    os.execve(sys.executable, gunicorn, environ)  # noqa: S606  # no shell is involved


def _refuse_taken(bind: str) -> None:
    """Refuses an address that can't be bound at once; gunicorn would try for five seconds."""
    if bind.startswith(("unix:", "fd:")) or "LISTEN_FDS" in os.environ:
        return
    host, _, port = bind.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            reason = "another program has this address" if taken else error.strerror or str(error)
            raise click.ClickException(f"BIND: {bind}: {reason}") from None
