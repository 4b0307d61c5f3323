"""Takes deliveries out of quarantine, by trying them again or by dropping them."""

from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic

from webhook_service.domain.deliveries import Contents, Delivery
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.domain.paging import Page
from webhook_service.domain.quarantine import QuarantineEntry, QuarantineSummary
from webhook_service.domain.results import Outcome, Result
from webhook_service.domain.verdicts import Verdict
from webhook_service.intake.commit import DeliveryRows, commit
from webhook_service.intake.take_in import Intake
from webhook_service.storage.database import Database
from webhook_service.storage.queries.quarantine import find_quarantined, list_quarantined

_AT_ONCE = 10  # deliveries that are replayed between two looks at the clock


@dataclass(slots=True)
class Replayed:
    """The results of replaying many deliveries: those released, those still in quarantine, and items by outcome."""

    released: int = 0
    quarantined: int = 0
    created: int = 0
    duplicate: int = 0
    conflict: int = 0

    def add(self, other: "Replayed") -> None:
        """Adds the results of replaying others."""
        self.released += other.released
        self.quarantined += other.quarantined
        self.created += other.created
        self.duplicate += other.duplicate
        self.conflict += other.conflict


def replay(entry: QuarantineEntry, intake: Intake, *, rename: bool = False) -> Verdict:
    """Takes in a quarantined delivery of a configured source again; its signature was verified when it arrived.

    What is understood is stored; with ``rename``, a message whose ID is taken by another one is stored under an ID of
    its own. The delivery leaves the quarantine in the same transaction if all of it is stored; otherwise the verdict
    says that it is ``quarantined``, and why. Raises StorageUnavailable.
    """
    kept = entry.delivery
    delivery = Delivery(
        kept.source_name,
        kept.raw,
        kept.headers,
        kept.target,
        kept.received_at,
        quarantine_id=entry.id,
        rename_conflicts=rename,
    )
    (verdict,) = intake.take_in([delivery])
    if verdict.result is Result.UNAVAILABLE:
        raise StorageUnavailable(verdict.detail or "unavailable", verdict.cause)
    return verdict


def replay_page(
    database: Database, intake: Intake, *, after: int, limit: int, reason: str | None, source: str | None = None
) -> tuple[Replayed, Page[QuarantineSummary, int]]:
    """Replays each delivery of a page of the quarantine; those of a source that is not configured stay there.

    Raises StorageUnavailable; the results for the deliveries before that stay in effect.
    """
    with database.primary_snapshot() as snapshot:
        page = list_quarantined(snapshot, after=after, limit=limit, reason=reason, source=source)
    return _replay_each(database, intake, page.items), page


def replay_all(
    database: Database, intake: Intake, *, after: int, reason: str | None, source: str | None, seconds: float
) -> tuple[Replayed, int | None]:
    """Replays page after page until none is left, or no time for another one: each delivery takes the turn to write.

    Returns the place after which to go on; None when none is left. Raises StorageUnavailable, as ``replay_page`` does.
    """
    ends_at = monotonic() + seconds
    total = Replayed()
    place: int | None = after
    while place is not None:
        replayed, page = replay_page(database, intake, after=place, limit=_AT_ONCE, reason=reason, source=source)
        total.add(replayed)
        place = page.next
        if monotonic() >= ends_at:
            break
    return total, place


def _replay_each(database: Database, intake: Intake, summaries: Iterable[QuarantineSummary]) -> Replayed:
    replayed = Replayed()
    for summary in summaries:
        with database.primary_snapshot() as snapshot:
            entry = find_quarantined(snapshot, summary.id)
        if entry is None:
            continue
        if entry.delivery.source_name not in intake.sources:
            replayed.quarantined += 1
            continue
        verdict = replay(entry, intake)
        outcomes = verdict.outcomes.all()
        replayed.created += outcomes.count(Outcome.CREATED)
        replayed.duplicate += outcomes.count(Outcome.DUPLICATE)
        replayed.conflict += outcomes.count(Outcome.CONFLICT)
        replayed.quarantined += verdict.is_quarantined
        replayed.released += not verdict.is_quarantined
    return replayed


def drop(database: Database, entry_id: int) -> None:
    """Removes a delivery from quarantine for good. Raises StorageUnavailable."""
    commit(database, [DeliveryRows.encode(Contents(), leaves_quarantine=entry_id)])
