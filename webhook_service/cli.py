"""The console script ``webhook-service``."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click

from webhook_service.domain import Contents, Outcome, QuarantineEntry, StorageUnavailable
from webhook_service.inbox import Inbox
from webhook_service.intake import replay
from webhook_service.providers.base import Provider
from webhook_service.providers.native import Native
from webhook_service.providers.registry import PROVIDERS, configured_providers
from webhook_service.schemas import present_quarantined, present_quarantined_whole
from webhook_service.sending import Load, Samples, Summary, send_all
from webhook_service.settings import Settings, SettingsInvalid
from webhook_service.storage.database import Database
from webhook_service.storage.migrate import migrate
from webhook_service.storage.quarantine import find_quarantined, list_quarantined

QUARANTINE_PAGE = 20  # entries read at once: each may be megabytes


@click.group()
def main() -> None:
    """A self-hosted inbox for provider messages."""


@main.command("migrate")
def migrate_() -> None:
    """Bring the database to the schema of this release."""
    with _plain_failures():
        migrate(Settings.from_env().database_url)


@main.command()
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
    with _plain_failures():
        settings = Settings.from_env()
        samples = Samples(_provider(settings, provider_name), **said)
    load = Load(url or f"http://{_reachable(settings.bind)}", count, concurrency)
    with click.progressbar(length=count, label="Sending", file=sys.stderr, hidden=count == 1) as bar:
        summary = send_all(load, samples, on_answer=lambda: bar.update(1))
    _show(summary)
    if summary.failed:
        raise SystemExit(1)


@main.group()
def quarantine() -> None:
    """Authentic deliveries that could not be understood."""


@quarantine.command("list")
def list_quarantine() -> None:
    """One line each: id, provider, why, how often and when it came."""
    with _plain_failures(), _opened() as database:
        for entry in _all_quarantined(database):
            shown = present_quarantined(entry)
            columns = ("id", "provider", "reason", "count", "first_at", "last_at")
            click.echo("\t".join(str(shown[name]) for name in columns))


@quarantine.command("show")
@click.argument("entry_id", metavar="ID", type=int)
def show_quarantined(entry_id: int) -> None:
    """All that is kept of one, as JSON."""
    with _plain_failures(), _opened() as database:
        shown = present_quarantined_whole(_find(database, entry_id))
    click.echo(json.dumps(shown, indent=2, ensure_ascii=False))


@quarantine.command("replay")
@click.argument("entry_ids", metavar="[ID]...", nargs=-1, type=int)
def replay_quarantined(entry_ids: tuple[int, ...]) -> None:
    """Try them again, or all of them; what is understood now leaves the quarantine."""
    with _plain_failures(), _opened() as database:
        settings = Settings.from_env()
        providers = configured_providers(settings.provider_secrets, settings.provider_options)
        inbox = Inbox(database)
        chosen = (_find(database, entry_id) for entry_id in entry_ids) if entry_ids else _all_quarantined(database)
        for entry in chosen:
            click.echo(f"{entry.id}: {_replay(entry, providers, inbox)}")


@quarantine.command("drop")
@click.argument("entry_ids", metavar="ID...", nargs=-1, required=True, type=int)
def drop_quarantined(entry_ids: tuple[int, ...]) -> None:
    """Forget them."""
    with _plain_failures(), _opened() as database:
        inbox = Inbox(database)
        for entry_id in entry_ids:
            inbox.accept(Contents(), released=_find(database, entry_id).id)
            click.echo(f"{entry_id}: dropped")


def _replay(entry: QuarantineEntry, providers: Mapping[str, Provider], inbox: Inbox) -> str:
    provider = providers.get(entry.delivery.provider)
    if provider is None:
        return f"provider {entry.delivery.provider} is not configured"
    outcomes, failure = replay(provider, entry, inbox)
    stored = f"{outcomes.all().count(Outcome.CREATED)} created, {outcomes.all().count(Outcome.DUPLICATE)} duplicate"
    return f"{stored}, still {failure.reason.value}" if failure else stored


def _all_quarantined(database: Database) -> Iterator[QuarantineEntry]:
    after = 0
    while True:
        with database.snapshot() as snapshot:
            page = list_quarantined(snapshot, after=after, limit=QUARANTINE_PAGE)
        if not page:
            return
        yield from page
        after = page[-1].id


def _find(database: Database, entry_id: int) -> QuarantineEntry:
    with database.snapshot() as snapshot:
        entry = find_quarantined(snapshot, entry_id)
    if entry is None:
        raise click.ClickException(f"{entry_id} is not in quarantine")
    return entry


@contextmanager
def _opened() -> Iterator[Database]:
    database = Database(Settings.from_env().database_url, pool_size=1)
    try:
        yield database
    finally:
        database.close()


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


@contextmanager
def _plain_failures() -> Iterator[None]:
    try:
        yield
    except SettingsInvalid as invalid:
        raise click.ClickException(str(invalid)) from invalid
    except StorageUnavailable as unavailable:
        cause = f" ({unavailable.__cause__})" if unavailable.__cause__ else ""
        raise click.ClickException(unavailable.detail + cause) from unavailable
