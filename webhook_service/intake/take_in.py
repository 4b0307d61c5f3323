"""Turns a round of deliveries into verdicts: verifies and parses each, and stores all of them in one transaction."""

import logging
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from webhook_service.domain.acknowledgement import Acknowledgement
from webhook_service.domain.deliveries import Contents, Delivery
from webhook_service.domain.errors import PayloadInvalid, RowRefused, SignatureInvalid, StorageUnavailable
from webhook_service.domain.limits import PROBLEMS_MAX
from webhook_service.domain.quarantine import MORE_PROBLEMS, Quarantined
from webhook_service.domain.results import Outcome, Reason, Result
from webhook_service.domain.verdicts import Outcomes, Verdict
from webhook_service.intake.activity import ActivityRecorder
from webhook_service.intake.commit import PATIENCE, Amplified, DeliveryRows, commit
from webhook_service.intake.secret_uses import SecretUseRecorder
from webhook_service.providers.source import Source, Sources
from webhook_service.storage.database import Database
from webhook_service.storage.queries.replication import replication_warnings

INTAKE = "webhook_service.intake"
"""The key of an application's ``extensions`` under which the gunicorn worker finds its intake."""

# What a provider says once about all items of a delivery is stored with each of them, so a crafted delivery could take
# a thousand times its own size. A batch of thousands of WhatsApp's texts takes twice its size.
MOST_STORED = 16  # characters that may be stored for each byte of the delivery
STORED_ANYWAY = 64 * 2**10  # characters that may be stored on top of that

_log = logging.getLogger(__name__)


class Intake:
    """Takes in the deliveries of the configured sources.

    ``max_body_bytes`` is a limit for those who read bodies; it is not checked here. ``activity``
    records what becomes of deliveries.
    """

    def __init__(self, sources: Sources, database: Database, *, max_body_bytes: int) -> None:
        self.sources = sources
        self.max_body_bytes = max_body_bytes
        self.activity = ActivityRecorder(database)
        self._database = database
        self._secret_uses = SecretUseRecorder(sources, database)

    def take_in(self, deliveries: Sequence[Delivery], patience: float = PATIENCE) -> list[Verdict]:
        """Returns the verdict on each delivery of a round, in order; those that are accepted are on disk.

        Every delivery has to be one of a configured source. Failures are reported in the verdict, not raised. The
        commit waits for other writers for at most ``patience`` seconds.
        """
        examined = [_examine(self.sources[delivery.source], delivery) for delivery in deliveries]
        stored = iter(self._store([each for each in examined if isinstance(each, _Authentic)], patience))
        verdicts = [next(stored) if isinstance(each, _Authentic) else each for each in examined]
        new = [verdict for delivery, verdict in zip(deliveries, verdicts, strict=True) if delivery.is_from_provider]
        self.activity.count(new)
        self._secret_uses.record(new)
        return verdicts

    def warnings(self) -> list[str]:
        """Lists what makes an acknowledged message less safe than the settings require. Raises StorageUnavailable."""
        return replication_warnings(self._database)

    def is_slow(self, delivery: Delivery) -> bool:
        """Tells whether the signature of a delivery takes long to verify."""
        return self.sources[delivery.source].provider.verifies_slowly

    def _store(self, round_: "list[_Authentic]", patience: float) -> list[Verdict]:
        if not round_:
            return []
        try:
            committed = commit(self._database, [each.rows for each in round_], patience)
        except StorageUnavailable as unavailable:
            return [each.unavailable(unavailable) for each in round_]
        refused = iter(
            self._quarantine_refused(
                [
                    each.refused_by_database()
                    for each, became in zip(round_, committed, strict=True)
                    if isinstance(became, RowRefused)
                ]
            )
        )
        return [
            next(refused) if isinstance(became, RowRefused) else each.concluded(became)
            for each, became in zip(round_, committed, strict=True)
        ]

    def _quarantine_refused(self, refused: "list[_Authentic]") -> list[Verdict]:
        """Puts deliveries of which the database has refused a row into quarantine, whole."""
        if not refused:
            return []
        try:
            committed = commit(self._database, [each.rows for each in refused])
        except StorageUnavailable as unavailable:
            return [each.unavailable(unavailable) for each in refused]
        return [
            each.unavailable(StorageUnavailable("the database refuses the delivery"))
            if isinstance(became, RowRefused)
            else each.concluded(became)
            for each, became in zip(refused, committed, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Authentic:
    """A verified delivery and what it writes; ``invalid`` says which parts of it were not understood."""

    source: Source
    delivery: Delivery
    secret: str | None
    rows: DeliveryRows
    invalid: PayloadInvalid | None
    answer: Acknowledgement | None = None
    routed_to: frozenset[str] = frozenset()

    def concluded(self, outcomes: Outcomes) -> Verdict:
        """Returns the verdict on a delivery that is on disk, except for what the quarantine had no room for."""
        if outcomes.quarantine_is_full:
            full = StorageUnavailable(f"the quarantine of {self.source.name} is full")
            return replace(self.unavailable(full, Reason.QUARANTINE_FULL), outcomes=outcomes)
        conflicting = self.rows.ids_with(Outcome.CONFLICT, outcomes)
        invalid = _conflict(self.invalid, conflicting) if conflicting else self.invalid
        items = self.rows.messages or self.rows.receipts
        return Verdict(
            source=self.source.name,
            provider=self.source.provider.name,
            result=_result(outcomes, self.invalid),
            is_accepted=self.invalid is None or self.source.provider.accepts_unreadable,
            reason=invalid.reason if invalid else None,
            problems=invalid.problems if invalid else {},
            secret=self.secret,
            message_id=str(items[0][0]) if items else None,
            outcomes=outcomes,
            duplicates=self.rows.ids_with(Outcome.DUPLICATE, outcomes),
            is_quarantined=invalid is not None and not self.delivery.is_test,
            answer=self.answer,
            routed_to=self.routed_to,
        )

    def unavailable(self, unavailable: StorageUnavailable, reason: Reason = Reason.STORAGE_UNAVAILABLE) -> Verdict:
        """Returns the verdict on a delivery that may not be stored, wholly or in part."""
        return Verdict.unavailable(
            self.source.name,
            self.source.provider.name,
            reason,
            unavailable.detail,
            cause=unavailable.cause,
            secret=self.secret,
        )

    def refused_by_database(self) -> "_Authentic":
        """Returns the delivery as one that goes to quarantine whole, since the database has refused a row of it."""
        invalid = PayloadInvalid(Reason.REFUSED_BY_DATABASE, {"body": ["Can't be stored."]})
        return _authentic(self.source, self.delivery, self.secret, Contents(), invalid)


def _examine(source: Source, delivery: Delivery) -> _Authentic | Verdict:
    """Verifies and parses a delivery. A bug in its provider's code affects this delivery alone."""
    try:
        secret = None if delivery.quarantine_id is not None else source.verify(delivery)
    except SignatureInvalid as refusal:
        return Verdict.refused(source.name, source.provider.name, refusal)
    except Exception as bug:
        _report("verifier failed", source, bug)
        return Verdict.unavailable(
            source.name, source.provider.name, Reason.VERIFIER_FAILED, "the signature can't be checked"
        )
    try:
        return _parse(source, delivery, secret)
    except PayloadInvalid as invalid:
        return _authentic(source, delivery, secret, Contents(), invalid)
    except Amplified:
        return _authentic(source, delivery, secret, Contents(), _amplified())
    except Exception as bug:
        # A payload that nobody foresaw must not be lost to a bug of ours.
        _report("parser failed", source, bug)
        failed = PayloadInvalid(Reason.PARSER_FAILED, {"body": ["The parser failed."]})
        return _authentic(source, delivery, secret, Contents(), failed)


def _parse(source: Source, delivery: Delivery, secret: str | None) -> _Authentic:
    contents = source.provider.parse(delivery)
    if not contents.unreadable:
        return _authentic(source, delivery, secret, contents, None)
    problems = ((item.where, [item.reason.value]) for item in contents.unreadable)
    invalid = PayloadInvalid(contents.unreadable[0].reason, _first(problems, len(contents.unreadable)))
    return _authentic(source, delivery, secret, contents, invalid)


def _first(problems: Iterable[tuple[str, list[str]]], number: int) -> dict[str, list[str]]:
    """Returns the first PROBLEMS_MAX problems, and how many more there are: a body may have a million of them."""
    named = dict(islice(problems, PROBLEMS_MAX))
    return named if number <= PROBLEMS_MAX else {**named, MORE_PROBLEMS: [f"{number - PROBLEMS_MAX:,} more"]}


def _amplified() -> PayloadInvalid:
    return PayloadInvalid(Reason.AMPLIFIED, {"body": [f"Its items would take more than {MOST_STORED} times its size."]})


def _authentic(
    source: Source, delivery: Delivery, secret: str | None, contents: Contents, invalid: PayloadInvalid | None
) -> _Authentic:
    if delivery.quarantine_id is not None:
        leaves_quarantine = None if invalid else delivery.quarantine_id
        rows = DeliveryRows.encode(
            contents, source.name, leaves_quarantine=leaves_quarantine, rename=delivery.rename_conflicts
        )
    else:
        rows = DeliveryRows.encode(
            contents,
            source.name,
            quarantined=_quarantined(source, delivery, invalid) if invalid and not delivery.is_test else None,
            quarantine_for=None if delivery.is_test else partial(_quarantined_for, source, delivery, invalid),
            is_test=delivery.is_test,
            most_characters=MOST_STORED * len(delivery.raw) + STORED_ANYWAY,
        )
    return _Authentic(source, delivery, secret, rows, invalid, contents.answer, _routed_to(source, contents))


def _routed_to(source: Source, contents: Contents) -> frozenset[str]:
    if source.provider.route is None:
        return frozenset()
    names = {message.source for message in contents.messages} | {receipt.source for receipt in contents.receipts}
    return frozenset(name for name in names if name and name != source.name)


def _conflict(invalid: PayloadInvalid | None, conflicting: Sequence[str]) -> PayloadInvalid:
    """Adds the messages in conflict, by their IDs, to the problems of a delivery, and makes them the reason.

    Whoever looks for what has another message's ID looks for that reason; the other problems are named beside it.
    """
    problems = ((message_id, [Reason.ID_CONFLICT.value]) for message_id in conflicting)
    named = _first(problems, len(conflicting))
    return PayloadInvalid(Reason.ID_CONFLICT, {**named, **(invalid.problems if invalid else {})})


def _quarantined_for(
    source: Source, delivery: Delivery, invalid: PayloadInvalid | None, conflicting: Sequence[str]
) -> Quarantined:
    """Returns a delivery as it is kept in quarantine for its messages in conflict."""
    return _quarantined(source, delivery, _conflict(invalid, conflicting))


def _quarantined(source: Source, delivery: Delivery, invalid: PayloadInvalid) -> Quarantined:
    headers = {
        name: value for name in source.provider.kept_headers if (value := delivery.headers.get(name)) is not None
    }
    return Quarantined(
        provider=source.provider.name,
        source=source.name,
        raw=delivery.raw,
        headers=headers,
        target=source.provider.kept_target(delivery.target),
        reason=invalid.reason.value,
        problems=invalid.problems,
        received_at=delivery.received_at,
    )


def _result(outcomes: Outcomes, invalid: PayloadInvalid | None) -> Result:
    if Outcome.CREATED in outcomes.all():
        return Result.CREATED
    if invalid is not None:
        return Result.VALIDATION_ERROR
    if not outcomes.all():
        return Result.EMPTY
    return Result.CONFLICT if Outcome.CONFLICT in outcomes.messages else Result.DUPLICATE


def _report(what: str, source: Source, bug: Exception) -> None:
    # The text of an exception may quote the payload, so only its class and where it was raised are logged.
    where = "".join(traceback.format_tb(bug.__traceback__))
    fields = {"source": source.name, "provider": source.provider.name, "error": type(bug).__name__, "where": where}
    _log.error(what, extra={"fields": fields})
