"""The words for what became of a delivery and of its items."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from webhook_service.domain.errors import DeliveryRefused
from webhook_service.domain.secrets import SecretAge


class Reason(StrEnum):
    """Why a delivery, or one item of it, was refused: the same word in the log, the metrics and the database."""

    MISSING_SIGNATURE = "missing_signature"
    MALFORMED_SIGNATURE = "malformed_signature"
    WRONG_SIGNATURE = "wrong_signature"
    MISSING_WEBHOOK_ID = "missing_webhook_id"
    MISSING_TIMESTAMP = "missing_timestamp"
    MALFORMED_TIMESTAMP = "malformed_timestamp"
    STALE_TIMESTAMP = "stale_timestamp"
    BODY_TOO_LARGE = "body_too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    TOO_MANY_FIELDS = "too_many_fields"
    INVALID_FIELDS = "invalid_fields"
    UNKNOWN_OBJECT = "unknown_object"
    UNKNOWN_EVENT = "unknown_event"
    UNKNOWN_FIELD = "unknown_field"
    PROVIDER_ERROR = "provider_error"
    NO_ITEMS = "no_items"
    PARSER_FAILED = "parser_failed"
    VERIFIER_FAILED = "verifier_failed"
    NO_SECRET = "no_secret"  # noqa: S105  # a reason, not a secret
    REFUSED_BY_DATABASE = "refused_by_database"
    STORAGE_UNAVAILABLE = "storage_unavailable"


class Outcome(StrEnum):
    """What became of an item that was offered to storage."""

    CREATED = "created"
    DUPLICATE = "duplicate"


class Result(StrEnum):
    """What became of a delivery as a whole; the label of ``webhook_requests_total``."""

    CREATED = "created"
    DUPLICATE = "duplicate"
    INVALID_SIGNATURE = "invalid_signature"
    VALIDATION_ERROR = "validation_error"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of each item of a delivery, in the order of its messages and of its receipts."""

    messages: tuple[Outcome, ...] = ()
    receipts: tuple[Outcome, ...] = ()

    def all(self) -> tuple[Outcome, ...]:
        """Those of all items."""
        return self.messages + self.receipts


@dataclass(frozen=True, slots=True)
class Verdict:
    """The service's conclusion on a delivery: plain data for its answer, the log and the metrics.

    ``accepted`` deliveries get their provider's acknowledgement. ``reason`` and ``errors`` (by field) say what is wrong
    with a delivery, also with one that is accepted although it was not understood, since it is in quarantine. ``hint``
    says what would have made a refused signature match; ``failure`` is what the database said, for the log alone.
    """

    provider: str
    result: Result
    accepted: bool = False
    reason: Reason | None = None
    errors: Mapping[str, list[str]] = field(default_factory=dict)
    detail: str | None = None
    failure: str | None = None
    hint: str | None = None
    secret: SecretAge | None = None
    message_id: str | None = None
    outcomes: Outcomes = Outcomes()
    quarantined: bool = False

    @classmethod
    def refused(cls, provider: str, refusal: DeliveryRefused, *, hint: str | None = None) -> "Verdict":
        """A delivery that is refused for what it is."""
        return cls(provider, refusal.result, reason=refusal.reason, hint=hint)

    @classmethod
    def unavailable(
        cls,
        provider: str,
        reason: Reason,
        detail: str,
        *,
        failure: str | None = None,
        secret: SecretAge | None = None,
    ) -> "Verdict":
        """A delivery that can't be stored at the moment; its provider should send it again."""
        failure = failure or detail
        return cls(provider, Result.UNAVAILABLE, reason=reason, detail=detail, failure=failure, secret=secret)
