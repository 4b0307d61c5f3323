"""``webhook-service send``."""

import sys

import click

from webhook_service.commands.failures import plain_failures
from webhook_service.commands.sending import Load, Samples, Summary, send_all
from webhook_service.providers.base import Provider
from webhook_service.providers.native import Native
from webhook_service.providers.registry import PROVIDERS, configured_providers
from webhook_service.settings import Settings, SettingsInvalid


@click.command()
@click.option("--url", help="Base URL of the service.  [default: the address in BIND]")
@click.option(
    "--provider",
    "provider_name",
    default=Native.name,
    show_default=True,
    type=click.Choice([provider.name for provider in PROVIDERS]),
    help="Whose deliveries to send.",
)
@click.option("--count", default=1, show_default=True, type=click.IntRange(1, 10_000_000), help="Messages to send.")
@click.option("--concurrency", default=1, show_default=True, type=click.IntRange(1, 512), help="Connections at once.")
@click.option("--from", "sender", default="+4915112345678", show_default=True, help="Their sender.")
@click.option("--to", "recipient", default="+4930123456", show_default=True, help="Their recipient.")
@click.option("--text", default="Hello from webhook-service", show_default=True)
@click.option("--message-id", help="ID of a single message.  [default: a new one for each]")
def send(url: str | None, provider_name: str, count: int, concurrency: int, **said: str) -> None:
    """Sign and send messages as a provider would, and tell what came back.

    The secret is the service's own, from the environment or the .env file.
    """
    if said["message_id"] is not None and count > 1:
        raise click.UsageError("--message-id names one message: leave out --count")
    with plain_failures():
        settings = Settings.from_env()
        samples = Samples(_provider(settings, provider_name), **said)
    load = Load(url or f"http://{_reachable(settings.bind)}", count, concurrency)
    with click.progressbar(length=count, label="Sending", file=sys.stderr, hidden=count == 1) as bar:
        summary = send_all(load, samples, on_answer=lambda: bar.update(1))
    _show(summary)
    if summary.failed:
        raise SystemExit(1)


def _provider(settings: Settings, name: str) -> Provider:
    configured = configured_providers(settings.provider_secrets, settings.provider_options)
    if name not in configured:
        needed = next(provider.secret_setting for provider in PROVIDERS if provider.name == name)
        raise SettingsInvalid([f"{needed}: not set"])
    return configured[name]


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
