"""The console script ``webhook-service``."""

import sys

import click

from webhook_service.commands.export import export
from webhook_service.commands.failures import plain_failures
from webhook_service.commands.import_ import import_
from webhook_service.commands.prune import erase, prune
from webhook_service.commands.stats import stats
from webhook_service.domain import Secrets
from webhook_service.providers.native import Native
from webhook_service.sending import Load, Samples, Summary, send_all
from webhook_service.settings import Settings, SettingsInvalid
from webhook_service.storage.migrate import migrate


@click.group()
def main() -> None:
    """A self-hosted inbox for provider messages."""


main.add_command(export)
main.add_command(import_)
main.add_command(prune)
main.add_command(erase)
main.add_command(stats)


@main.command("migrate")
def migrate_() -> None:
    """Bring the database to the schema of this release."""
    with plain_failures():
        migrate(Settings.from_env().database_url)


@main.command()
@click.option("--url", help="Base URL of the service.  [default: the address in BIND]")
@click.option("--count", default=1, show_default=True, type=click.IntRange(1, 10_000_000), help="Messages to send.")
@click.option("--concurrency", default=1, show_default=True, type=click.IntRange(1, 512), help="Connections at once.")
@click.option("--from", "sender", default="+4915112345678", show_default=True, help="Their sender.")
@click.option("--to", "recipient", default="+4930123456", show_default=True, help="Their recipient.")
@click.option("--text", default="Hello from webhook-service", show_default=True)
@click.option("--message-id", help="ID of a single message.  [default: a new one for each]")
def send(
    url: str | None, count: int, concurrency: int, sender: str, recipient: str, text: str, message_id: str | None
) -> None:
    """Sign and send messages as a provider would, and tell what came back.

    The secret is the service's own: WEBHOOK_SECRET from the environment or the .env file.
    """
    if message_id is not None and count > 1:
        raise click.UsageError("--message-id names one message: leave out --count")
    with plain_failures():
        settings = Settings.from_env()
        secret = _secret(settings)
    samples = Samples(secret.current, sender, recipient, text, message_id)
    load = Load(url or f"http://{_reachable(settings.bind)}", count, concurrency)
    with click.progressbar(length=count, label="Sending", file=sys.stderr, hidden=count == 1) as bar:
        summary = send_all(load, samples, on_answer=lambda: bar.update(1))
    _show(summary)
    if summary.failed:
        raise SystemExit(1)


def _secret(settings: Settings) -> Secrets:
    try:
        return settings.provider_secrets[Native.name]
    except KeyError:
        raise SettingsInvalid([f"{Native.secret_setting}: not set"]) from None


def _reachable(bind: str) -> str:
    host, _, port = bind.rpartition(":")
    return f"127.0.0.1:{port}" if host in {"0.0.0.0", "[::]", ""} else bind  # noqa: S104  # compared, not bound


def _show(summary: Summary) -> None:
    if summary.only_answer is not None:
        click.echo(summary.only_answer)
        return
    for status, number in sorted(summary.statuses.items()):
        click.echo(f"{status}: {number}")
    click.echo(
        f"{summary.rate:,.0f} a second, p50 {summary.percentile(50):.1f} ms, p99 {summary.percentile(99):.1f} ms"
    )
