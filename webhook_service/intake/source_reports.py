"""The reports on the configured sources: what has become of their deliveries, and which secrets may go."""

from datetime import datetime, timedelta

from webhook_service.domain.secrets import Secret
from webhook_service.domain.sources import SecretReport, SourceReport
from webhook_service.providers.guides import guide_to
from webhook_service.providers.source import Source, Sources
from webhook_service.storage.database import Database
from webhook_service.storage.queries.activity import read_last_delivery, read_sources
from webhook_service.storage.queries.secrets import SecretUses, read_secret_uses

DAY = timedelta(days=1)
QUIET = DAY  # how long a secret has signed nothing when it may go: providers repeat a delivery for hours


def read_source_reports(database: Database, sources: Sources, now: datetime) -> list[SourceReport]:
    """Reads the report on every source, in the order of their names. Raises StorageUnavailable."""
    with database.snapshot() as snapshot:
        last_day, uses = read_sources(snapshot, now - DAY, now), read_secret_uses(snapshot)
        last_at = {name: read_last_delivery(snapshot, name) for name in sources}
    return [
        SourceReport(
            name=name,
            provider=source.provider.name,
            last_delivery_at=last_at[name],
            last_day=last_day[name].counts if name in last_day else {},
            secrets=_secret_reports(source, uses, now),
            setup=guide_to(source.provider),
        )
        for name, source in sorted(sources.items())
    ]


def _secret_reports(source: Source, uses: SecretUses, now: datetime) -> tuple[SecretReport, ...]:
    listed = source.provider.secrets.listed
    used_at = {secret.label: uses.get((source.name, secret.label)) for secret in listed}
    current = used_at[listed[0].label]
    return tuple(
        SecretReport(
            secret.label,
            secret.until,
            used_at[secret.label],
            may_go=place > 0 and _may_go(secret, used_at[secret.label], current, now),
        )
        for place, secret in enumerate(listed)
    )


def _may_go(secret: Secret, used_at: datetime | None, current_used_at: datetime | None, now: datetime) -> bool:
    """Tells whether a secret is past its time, or was quiet for a day or more while the current one has signed."""
    if secret.until is not None and now >= secret.until:
        return True
    return current_used_at is not None and (used_at is None or now - used_at >= QUIET)
