"""Deliveries out of quarantine: tried again, or dropped."""

from webhook_service.domain.deliveries import Contents, Delivery
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.domain.quarantine import QuarantineEntry
from webhook_service.domain.results import Result
from webhook_service.domain.verdicts import Verdict
from webhook_service.intake.commit import Entry, commit
from webhook_service.intake.take_in import Intake
from webhook_service.storage.database import Database


def replay(entry: QuarantineEntry, intake: Intake, *, rename: bool = False) -> Verdict:
    """Takes a quarantined delivery of a configured provider in again; its signature was verified when it arrived.

    What is understood is stored, with ``rename`` also a message whose ID is taken by another one, under an ID of its
    own. The delivery leaves the quarantine in the same transaction when all of it is stored; else the verdict says that
    it is ``quarantined``, and why. Raises StorageUnavailable.
    """
    kept = entry.delivery
    delivery = Delivery(
        kept.provider,
        kept.raw,
        kept.headers,
        kept.target,
        kept.received_at,
        quarantine_id=entry.id,
        rename_conflicts=rename,
    )
    (verdict,) = intake.take_in([delivery])
    if verdict.result is Result.UNAVAILABLE:
        raise StorageUnavailable(verdict.detail or "unavailable", verdict.failure)
    return verdict


def drop(database: Database, entry_id: int) -> None:
    """Removes a delivery from quarantine for good. Raises StorageUnavailable."""
    commit(database, [Entry.of(Contents(), released=entry_id)])
