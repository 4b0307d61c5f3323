"""``webhook-service send``."""

import sys
from signal import SIGINT

import click

from webhook_service.commands.cli_errors import plain_failures
from webhook_service.commands.sending import NO_ANSWER, Load, Samples, Summary, send_all
from webhook_service.commands.urls import check_url
from webhook_service.domain.sources import NATIVE
from webhook_service.domain.spelling import nearest
from webhook_service.providers.declared import CannotSign
from webhook_service.providers.registry import PROVIDERS
from webhook_service.providers.source import Source
from webhook_service.settings import Settings, SettingsInvalid


@click.command()
@click.option("--url", callback=check_url, help="Base URL of the service.  [default: the address in BIND]")
@click.option(
    "--source",
    "--provider",
    "source_name",
    default=NATIVE,
    show_default=True,
    help="Whose deliveries to send: a provider's that is set up by the environment, or a declared source's.",
)
@click.option("--count", default=1, show_default=True, type=click.IntRange(1, 10_000_000), help="Messages to send.")
@click.option("--concurrency", default=1, show_default=True, type=click.IntRange(1, 512), help="Connections at once.")
@click.option("--from", "sender", default="+4915112345678", show_default=True, help="Their sender.")
@click.option("--to", "recipient", default="+4930123456", show_default=True, help="Their recipient.")
@click.option("--text", default="Hello from webhook-service", show_default=True)
@click.option("--message-id", help="ID of a single message.  [default: a new one for each]")
def send(url: str | None, source_name: str, count: int, concurrency: int, **said: str) -> None:
    """Sign and send messages as a source would, and tell what came back.

    The secret is the service's own, from the environment, the .env file or the file of configuration.
    """
    if said["message_id"] is not None and count > 1:
        raise click.UsageError("--message-id names one message: leave out --count")
    with plain_failures():
        settings = Settings.from_env(needs_database=False)
        samples = Samples(_source(settings, source_name), **said)
        _check_that_it_can_sign(samples)
    load = Load(url or _own_url(settings.bind), count, concurrency)
    with click.progressbar(length=count, label="Sending", file=sys.stderr, hidden=count == 1) as bar:
        summary = send_all(load, samples, on_answer=lambda: bar.update(1))
    _show(summary, load)
    if summary.interrupted:
        raise SystemExit(128 + SIGINT)
    if summary.has_failures:
        raise SystemExit(1)


def _source(settings: Settings, name: str) -> Source:
    sources = settings.sources()
    if name in sources:
        return sources[name]
    for provider in PROVIDERS:
        if provider.name == name:
            raise SettingsInvalid([f"{provider.secret_setting}: not set"])
    meant = nearest(name, sources)
    hint = f"did you mean {meant}?" if meant else f"there are {', '.join(sources) or 'none'}"
    raise click.BadParameter(f"no source is named {name}; {hint}", param_hint="--source")


def _check_that_it_can_sign(samples: Samples) -> None:
    try:
        next(iter(samples))
    except CannotSign as reason:
        raise click.ClickException(f"nothing can be sent as {samples.source.name}: {reason}") from None


def _own_url(bind: str) -> str:
    if bind.startswith(("unix:", "fd:")):
        raise click.UsageError(f"BIND is {bind}, to which nothing can be sent: say --url")
    host, _, port = bind.rpartition(":")
    return f"http://127.0.0.1:{port}" if host in {"0.0.0.0", "[::]", ""} else f"http://{bind}"  # noqa: S104  # compared


def _show(summary: Summary, load: Load) -> None:
    sent = summary.statuses.total()
    if summary.interrupted:
        answered = sent - summary.statuses[NO_ANSWER]
        click.echo(f"Interrupted: {answered:,} of {load.count:,} were answered.", err=True)
    if not sent:
        return
    if summary.only_answer is not None:
        click.echo(summary.only_answer)
        if NO_ANSWER in summary.statuses:
            click.echo(f"Nothing is stored for sure: is the service running at {load.url}?", err=True)
        return
    for status, number in sorted(summary.statuses.items()):
        click.echo(f"{status}: {number}")
    click.echo(
        f"{summary.rate:,.0f} a second, p50 {summary.percentile(50):.1f} ms, p99 {summary.percentile(99):.1f} ms"
    )
