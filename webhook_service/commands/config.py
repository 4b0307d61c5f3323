"""``webhook-service config``."""

import click

from webhook_service.commands.cli_errors import naming, plain_failures
from webhook_service.commands.nginx import NoAddress, Site, render_site
from webhook_service.settings import Settings
from webhook_service.storage.database import Database
from webhook_service.storage.queries.replication import replication_warnings


@click.group()
def config() -> None:
    """Show the configuration, and make that of the programs around the service."""


@config.command()
def check() -> None:
    """Read the settings as the server does, and show those in effect, without secrets."""
    with plain_failures():
        settings = Settings.from_env()
    for name, value in settings.masked().items():
        click.echo(f"{name}: {', '.join(value) or 'none' if isinstance(value, list) else value}")
    for warning in _warnings(settings):
        click.echo(f"warning: {warning}", err=True)


def _warnings(settings: Settings) -> list[str]:
    """Returns the database's warnings; it is asked only if the settings require something of it."""
    if not settings.require_sync_replica:
        return []
    database = Database(settings.database_url, pool_size=1, require_sync_replica=True)
    try:
        with naming(settings.database_url):
            return replication_warnings(database)
    finally:
        database.close()


@config.command()
@click.option("--server-name", required=True, help="The name that providers send to, such as inbox.example.org.")
@click.option("--certificate", help="[default: that of Let's Encrypt for the name]", metavar="PATH")
@click.option("--key", help="[default: that of Let's Encrypt for the name]", metavar="PATH")
def nginx(server_name: str, certificate: str | None, key: str | None) -> None:
    """Print a site for nginx, with TLS, that stands in front of the service: a file for /etc/nginx/conf.d."""
    live = f"/etc/letsencrypt/live/{server_name}"
    site = Site(server_name, certificate or f"{live}/fullchain.pem", key or f"{live}/privkey.pem")
    with plain_failures():
        settings = Settings.from_env()
    try:
        click.echo(render_site(settings, site), nl=False)
    except NoAddress as reason:
        raise click.ClickException(str(reason)) from None
