"""``webhook-service sources``."""

from datetime import UTC, datetime

import click

from webhook_service.commands.cli_errors import plain_failures
from webhook_service.commands.database import open_database
from webhook_service.domain.formats import format_timestamp
from webhook_service.domain.sources import SecretReport, SourceReport, path_of
from webhook_service.intake.source_reports import read_source_reports
from webhook_service.settings import Settings


@click.command()
def sources() -> None:
    """Show the sources: their addresses, their latest deliveries, and which of their secrets may go."""
    with plain_failures(), open_database(only_to_read=True) as database:
        reports = read_source_reports(database, Settings.from_env().sources(), datetime.now(UTC))
    for report in reports:
        _show(report)
    if not reports:
        click.echo("No source is set up.", err=True)


def _show(report: SourceReport) -> None:
    last = report.last_delivery_at
    counts = ", ".join(f"{number:,} {outcome}" for outcome, number in sorted(report.last_day.items()))
    click.echo(f"{report.name} ({report.provider})")
    click.echo(f"  address: {path_of(report.name)}")
    click.echo(f"  last delivery: {format_timestamp(last) if last else 'none yet'}")
    click.echo(f"  last day: {counts or 'nothing'}")
    for secret in report.secrets:
        click.echo(f"  secret {secret.label}: {_written(secret, is_only=len(report.secrets) == 1)}")
    click.echo(f"  set up at: {report.setup.place}, {report.setup.address_field}")
    for name, value in report.setup.fields.items():
        click.echo(f"    {name}: {value}")


def _written(secret: SecretReport, *, is_only: bool) -> str:
    until = "" if secret.until is None else f", valid until {format_timestamp(secret.until)}"
    if is_only:
        return f"the only one{until}"
    last = secret.last_matched_at
    used = f"last matched at {format_timestamp(last)}" if last else "has matched nothing yet"
    return f"{used}{until}{', may go' if secret.may_go else ''}"
