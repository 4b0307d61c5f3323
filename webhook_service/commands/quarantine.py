"""``webhook-service quarantine``."""

from collections.abc import Iterator

import click

from webhook_service.commands.cli_errors import plain_failures
from webhook_service.commands.database import open_database
from webhook_service.domain.formats import encode_json, format_timestamp
from webhook_service.domain.limits import PAGE_MAX, ROW_ID_MAX
from webhook_service.domain.quarantine import QuarantineEntry, QuarantineSummary
from webhook_service.domain.results import Outcome
from webhook_service.intake.replaying import drop, replay
from webhook_service.intake.take_in import Intake
from webhook_service.schemas.quarantine import present_quarantined_whole
from webhook_service.settings import Settings
from webhook_service.storage.database import Database
from webhook_service.storage.queries.quarantine import find_quarantined, list_quarantined

ROW_ID = click.IntRange(0, ROW_ID_MAX)


@click.group()
def quarantine() -> None:
    """Authentic deliveries that could not be understood."""


@quarantine.command("list")
def list_quarantine() -> None:
    """One line each: id, source, why, how often and when it came."""
    with plain_failures(), open_database() as database:
        for listed in _list_all(database):
            came = map(format_timestamp, (listed.first_at, listed.last_at))
            click.echo("\t".join((str(listed.id), listed.source, listed.reason, str(listed.count), *came)))


@quarantine.command("show")
@click.argument("entry_id", metavar="ID", type=ROW_ID)
def show_quarantined(entry_id: int) -> None:
    """All that is kept of one, as JSON."""
    with plain_failures(), open_database() as database:
        shown = present_quarantined_whole(_find(database, entry_id))
    click.echo(encode_json(shown, indented=True), nl=False)


@quarantine.command("replay")
@click.argument("entry_ids", metavar="[ID]...", nargs=-1, type=ROW_ID)
@click.option("--rename", is_flag=True, help="Store a message whose ID is taken by another under an ID of its own.")
def replay_quarantined(entry_ids: tuple[int, ...], *, rename: bool) -> None:
    """Try them again, or all of them; what is understood now leaves the quarantine.

    The exit status is 1 when any of them stays.
    """
    stayed = False
    with plain_failures(), open_database() as database:
        settings = Settings.from_env()
        intake = Intake(settings.sources(), database, max_body_bytes=settings.max_body_bytes)
        chosen = (_find(database, entry_id) for entry_id in entry_ids) if entry_ids else _read_all(database)
        for entry in chosen:
            click.echo(f"{entry.id}: {_replay(entry, intake, rename=rename)}")
            stayed |= _read(database, entry.id) is not None
    if stayed:
        raise SystemExit(1)


@quarantine.command("drop")
@click.argument("entry_ids", metavar="ID...", nargs=-1, required=True, type=ROW_ID)
def drop_quarantined(entry_ids: tuple[int, ...]) -> None:
    """Delete these deliveries from quarantine for good."""
    with plain_failures(), open_database() as database:
        for entry_id in entry_ids:
            drop(database, _find(database, entry_id).id)
            click.echo(f"{entry_id}: dropped")


def _replay(entry: QuarantineEntry, intake: Intake, *, rename: bool) -> str:
    if entry.delivery.source_name not in intake.sources:
        return f"source {entry.delivery.source_name} is not configured"
    verdict = replay(entry, intake, rename=rename)
    outcomes = verdict.outcomes.all()
    stored = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in Outcome)
    return f"{stored}, still {verdict.reason}" if verdict.is_quarantined else stored


def _list_all(database: Database) -> Iterator[QuarantineSummary]:
    after: int | None = 0
    while after is not None:
        with database.snapshot() as snapshot:
            page = list_quarantined(snapshot, after=after, limit=PAGE_MAX)
        yield from page.items
        after = page.next


def _read_all(database: Database) -> Iterator[QuarantineEntry]:
    """Reads one whole entry at a time, since each may be megabytes; skips those that are gone meanwhile."""
    for listed in _list_all(database):
        entry = _read(database, listed.id)
        if entry is not None:
            yield entry


def _find(database: Database, entry_id: int) -> QuarantineEntry:
    entry = _read(database, entry_id)
    if entry is None:
        raise click.ClickException(f"{entry_id} is not in quarantine")
    return entry


def _read(database: Database, entry_id: int) -> QuarantineEntry | None:
    with database.snapshot() as snapshot:
        return find_quarantined(snapshot, entry_id)
