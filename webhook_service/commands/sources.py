"""``webhook-service sources``."""

from datetime import UTC, datetime

import click

from webhook_service.commands.database import open_database
from webhook_service.commands.failures import plain_failures
from webhook_service.domain.formats import format_timestamp
from webhook_service.domain.sources import SecretState, SourceState, address
from webhook_service.intake.source_states import read_source_states
from webhook_service.settings import Settings


@click.command()
def sources() -> None:
    """Show the sources: their addresses, their latest deliveries, and which of their secrets may go."""
    with plain_failures(), open_database(only_to_read=True) as database:
        states = read_source_states(database, Settings.from_env().sources(), datetime.now(UTC))
    for state in states:
        _show(state)
    if not states:
        click.echo("No source is set up.", err=True)


def _show(state: SourceState) -> None:
    last = state.last_delivery_at
    counts = ", ".join(f"{number:,} {outcome}" for outcome, number in sorted(state.last_day.items()))
    click.echo(f"{state.name} ({state.provider})")
    click.echo(f"  address: {address(state.name)}")
    click.echo(f"  last delivery: {format_timestamp(last) if last else 'none yet'}")
    click.echo(f"  last day: {counts or 'nothing'}")
    for secret in state.secrets:
        click.echo(f"  secret {secret.label}: {_written(secret, is_only=len(state.secrets) == 1)}")
    click.echo(f"  set up at: {state.setup.place}, {state.setup.address_field}")
    for name, value in state.setup.fields.items():
        click.echo(f"    {name}: {value}")


def _written(secret: SecretState, *, is_only: bool) -> str:
    until = "" if secret.until is None else f", valid until {format_timestamp(secret.until)}"
    if is_only:
        return f"the only one{until}"
    last = secret.last_matched_at
    used = f"last matched at {format_timestamp(last)}" if last else "has matched nothing yet"
    return f"{used}{until}{', may go' if secret.may_go else ''}"
