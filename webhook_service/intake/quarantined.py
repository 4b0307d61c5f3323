"""Deliveries out of quarantine: tried again, or dropped."""

from collections.abc import Iterable
from dataclasses import dataclass

from webhook_service.domain.deliveries import Contents, Delivery
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.domain.quarantine import QuarantineEntry
from webhook_service.domain.results import Outcome
from webhook_service.domain.verdicts import Verdict
from webhook_service.intake.commit import Entry, commit
from webhook_service.intake.take_in import Intake
from webhook_service.storage.database import Database
from webhook_service.storage.queries.quarantine import find_quarantined


@dataclass(slots=True)
class Replayed:
    """Numbers of a replay of many: deliveries released and still in quarantine, items created and duplicate."""

    released: int = 0
    quarantined: int = 0
    created: int = 0
    duplicate: int = 0


def replay(entry: QuarantineEntry, intake: Intake) -> Verdict:
    """Takes a quarantined delivery of a configured provider in again; its signature was verified when it arrived.

    What is understood is stored. The delivery leaves the quarantine in the same transaction when all of it is; else
    the verdict says that it is ``quarantined``, and why. Raises StorageUnavailable.
    """
    kept = entry.delivery
    delivery = Delivery(kept.provider, kept.raw, kept.headers, kept.target, kept.received_at, quarantine_id=entry.id)
    (verdict,) = intake.take_in([delivery])
    if verdict.detail is not None:
        raise StorageUnavailable(verdict.detail, verdict.failure)
    return verdict


def replay_each(entry_ids: Iterable[int], intake: Intake, database: Database) -> Replayed:
    """Replays each of these that is still in quarantine; those of a provider that is not configured stay there.

    Raises StorageUnavailable; what was replayed before that is done.
    """
    replayed = Replayed()
    for entry_id in entry_ids:
        with database.primary_snapshot() as snapshot:
            entry = find_quarantined(snapshot, entry_id)
        if entry is None:
            continue
        if entry.delivery.provider not in intake.providers:
            replayed.quarantined += 1
            continue
        verdict = replay(entry, intake)
        outcomes = verdict.outcomes.all()
        replayed.created += outcomes.count(Outcome.CREATED)
        replayed.duplicate += outcomes.count(Outcome.DUPLICATE)
        replayed.quarantined += verdict.quarantined
        replayed.released += not verdict.quarantined
    return replayed


def drop(database: Database, entry_id: int) -> None:
    """Removes a delivery from quarantine for good. Raises StorageUnavailable."""
    commit(database, [Entry.of(Contents(), released=entry_id)])
