"""Verdicts: the service's conclusions on deliveries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from webhook_service.domain.acknowledgement import Acknowledgement
from webhook_service.domain.errors import DeliveryRefused
from webhook_service.domain.results import Outcome, Reason, Result


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The outcome of each item of a delivery, in the order of its messages and of its receipts.

    ``quarantine_is_full`` says that the delivery should also have been kept, but there was no room for it.
    """

    messages: tuple[Outcome, ...] = ()
    receipts: tuple[Outcome, ...] = ()
    quarantine_is_full: bool = False

    def all(self) -> tuple[Outcome, ...]:
        """Returns the outcomes of all items."""
        return self.messages + self.receipts


@dataclass(frozen=True, slots=True)
class Verdict:
    """The service's conclusion on a delivery: plain data for its answer, the log and the metrics.

    ``is_accepted`` deliveries get their provider's acknowledgement, or the ``answer`` in its place. ``reason`` and
    ``problems`` (by field) say what is wrong with a delivery, even with one that is accepted although it was not
    understood, since it is in quarantine. ``cause`` is what the database said, for the log alone, and ``detail`` is
    what the caller is told when the service is unavailable. ``message_id`` is that of the first item, ``secret`` the
    label of the secret that signed. ``duplicates`` are the IDs of the messages that were stored already. ``routed_to``
    names the other sources that items of the delivery belong to.
    """

    source: str
    provider: str
    result: Result
    is_accepted: bool = False
    reason: Reason | None = None
    problems: Mapping[str, list[str]] = field(default_factory=dict)
    detail: str | None = None
    cause: str | None = None
    secret: str | None = None
    message_id: str | None = None
    outcomes: Outcomes = Outcomes()
    duplicates: Sequence[str] = ()
    is_quarantined: bool = False
    answer: Acknowledgement | None = None
    routed_to: frozenset[str] = frozenset()

    @classmethod
    def refused(cls, source: str, provider: str, refusal: DeliveryRefused) -> "Verdict":
        """Makes the verdict on a delivery with an invalid signature, or with a body that is too large."""
        return cls(source, provider, refusal.result, reason=refusal.reason)

    @classmethod
    def unavailable(
        cls,
        source: str,
        provider: str,
        reason: Reason,
        detail: str,
        *,
        cause: str | None = None,
        secret: str | None = None,
    ) -> "Verdict":
        """Makes the verdict on a delivery that can't be stored at the moment; its provider should send it again."""
        cause = cause or detail
        return cls(source, provider, Result.UNAVAILABLE, reason=reason, detail=detail, cause=cause, secret=secret)
