"""The configured sources with what has become of their deliveries."""

from datetime import datetime, timedelta

from sqlalchemy import Connection

from webhook_service.domain.activity import AUTHENTIC_OUTCOMES, SourceActivity
from webhook_service.domain.secrets import Secret
from webhook_service.domain.sources import SecretState, SourceState
from webhook_service.providers.guides import setup_of
from webhook_service.providers.source import Source, Sources
from webhook_service.storage.database import Database
from webhook_service.storage.queries.activity import read_latest, read_sources
from webhook_service.storage.queries.secrets import SecretUses, read_secret_uses

DAY = timedelta(days=1)
QUIET = DAY  # without a signature of a secret, after which it may go: providers repeat a delivery for hours


def read_source_states(database: Database, sources: Sources, now: datetime) -> list[SourceState]:
    """Reads the state of every source, in the order of their names. Raises StorageUnavailable."""
    with database.snapshot() as snapshot:
        last_day, uses = read_sources(snapshot, now - DAY, now), read_secret_uses(snapshot)
        last_at = {name: _last_delivery(snapshot, name, last_day.get(name)) for name in sources}
    return [
        SourceState(
            name=name,
            provider=source.provider.name,
            last_delivery_at=last_at[name],
            last_day=last_day[name].counts if name in last_day else {},
            secrets=_secret_states(source, uses, now),
            setup=setup_of(source.provider),
        )
        for name, source in sorted(sources.items())
    ]


def _last_delivery(connection: Connection, source: str, last_day: SourceActivity | None) -> datetime | None:
    """Reads when the latest delivery with a right signature came; further back only if the last day had none."""
    recent = [at for outcome, at in last_day.last_at.items() if outcome in AUTHENTIC_OUTCOMES] if last_day else []
    if recent:
        return max(recent)
    earlier = [read_latest(connection, source, outcome) for outcome in AUTHENTIC_OUTCOMES]
    return max((activity.last_at for activity in earlier if activity), default=None)


def _secret_states(source: Source, uses: SecretUses, now: datetime) -> tuple[SecretState, ...]:
    listed = source.provider.secrets.listed
    used_at = {secret.label: uses.get((source.name, secret.label)) for secret in listed}
    current = used_at[listed[0].label]
    return tuple(
        SecretState(
            secret.label,
            secret.until,
            used_at[secret.label],
            may_go=place > 0 and _may_go(secret, used_at[secret.label], current, now),
        )
        for place, secret in enumerate(listed)
    )


def _may_go(secret: Secret, used_at: datetime | None, current_used_at: datetime | None, now: datetime) -> bool:
    """Tells if a secret is past its time, or if the current one has signed while this one was quiet."""
    if secret.until is not None and now >= secret.until:
        return True
    return current_used_at is not None and (used_at is None or now - used_at >= QUIET)
