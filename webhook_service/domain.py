"""The words of the service as values: what comes in, what is kept of it, and how it can be refused."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

Item = TypeVar("Item")
Place = TypeVar("Place")


class Headers(Protocol):
    """Request headers; a name is looked up whatever its case."""

    def get(self, name: str, /) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """One HTTP request of a provider: the bytes and headers exactly as they came.

    ``target`` is the path and query string as sent; ``received_at`` is aware, in UTC. ``quarantine_id`` is set for a
    replay: the delivery was verified when it arrived, and leaves the quarantine under that id once it is understood.
    """

    provider: str
    raw: bytes
    headers: Headers
    target: str
    received_at: datetime
    quarantine_id: int | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One item of a delivery, in the shape in which it is stored.

    ``ts`` is the provider's time and ``received_at`` ours, both aware, in UTC. ``extra`` keeps what has no column.
    """

    message_id: str
    provider: str
    sender: str
    recipient: str
    ts: datetime
    received_at: datetime
    text: str | None = None
    type: str = "text"
    extra: Mapping[str, Any] | None = None


class StoredMessage(NamedTuple):
    """A message as read from storage; ``id`` is its place in stored order, ``extra`` a JSON text.

    A tuple, since reads make a thousand of them at a time.
    """

    id: int
    message_id: str
    sender: str
    recipient: str
    ts: datetime
    text: str | None
    provider: str
    type: str
    received_at: datetime
    extra: str | None

    @property
    def position(self) -> "Position":
        """The place in the order by ``ts``."""
        return Position(self.ts, self.message_id)


class Order(StrEnum):
    """Order of a list by the provider's time: oldest or newest first."""

    ASC = "asc"
    DESC = "desc"


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Conditions on messages; ``since`` is inclusive and ``until`` exclusive, both on ``ts``."""

    sender: str | None = None
    recipient: str | None = None
    provider: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    q: str | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """The place of a message in the order by ``ts``, then by ID; it remains valid when the message is deleted."""

    ts: datetime
    message_id: str


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """A request for a page: at most ``limit`` messages that pass a filter, after a place, or after ``offset`` others.

    ``with_total`` asks for the number of all messages that pass the filter, too.
    """

    filter: MessageFilter
    limit: int
    order: Order = Order.ASC
    offset: int = 0
    after: Position | None = None
    with_total: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[Item, Place]):
    """A part of a list, and the place after which the next page begins; None for the last page."""

    items: Sequence[Item]
    next: Place | None

    @classmethod
    def cut(cls, found: Sequence[Item], limit: int, place: Callable[[Item], Place]) -> Self:
        """Makes a page of at most ``limit`` items from a query for one more, which shows that there is a next page.

        ``place`` returns the place of an item in the list.
        """
        items = found[:limit]
        return cls(items, place(items[-1]) if len(found) > limit else None)


@dataclass(frozen=True, slots=True)
class Stats:
    """The totals of the store; ``top_senders`` are (sender, count) pairs, the busiest first."""

    total_messages: int
    senders_count: int
    top_senders: tuple[tuple[str, int], ...]
    first_ts: datetime | None
    last_ts: datetime | None


@dataclass(frozen=True, slots=True)
class Age:
    """The most seconds that a replica's answer may be behind the primary; None when that can't be known."""

    seconds: float | None


class Interval(StrEnum):
    """An hour or a day, in UTC."""

    HOUR = "hour"
    DAY = "day"

    @property
    def length(self) -> timedelta:
        """The length of the interval."""
        return timedelta(hours=1) if self is Interval.HOUR else timedelta(days=1)

    def start_of(self, moment: datetime) -> datetime:
        """Returns the start of the interval that an aware UTC datetime is in."""
        hour = moment.replace(minute=0, second=0, microsecond=0)
        return hour if self is Interval.HOUR else hour.replace(hour=0)

    def number(self, since: datetime, until: datetime) -> int:
        """Counts the intervals that the time from ``since`` to ``until`` (exclusive) touches."""
        return -((self.start_of(since) - until) // self.length) if since < until else 0

    def starts(self, since: datetime, until: datetime) -> Iterator[datetime]:
        """Yields the start of each of those intervals."""
        first = self.start_of(since)
        return (first + self.length * at for at in range(self.number(since, until)))


@dataclass(frozen=True, slots=True)
class Timeline:
    """The number of messages with a ``ts`` from ``since`` (inclusive) to ``until`` (exclusive), by interval.

    ``counts`` are (start, count) pairs in order, zeros included; messages outside the range are not counted.
    """

    interval: Interval
    since: datetime
    until: datetime
    counts: tuple[tuple[datetime, int], ...]


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


@dataclass(frozen=True, slots=True)
class Receipt:
    """A provider's word on what became of an outgoing message: sent, delivered, read, failed, or newer ones.

    ``ts`` is the provider's time and ``received_at`` ours, both aware, in UTC; ``error`` is the provider's own.
    """

    message_id: str
    provider: str
    status: str
    recipient: str
    ts: datetime
    received_at: datetime
    error: str | None = None
    extra: Mapping[str, Any] | None = None


class StoredReceipt(NamedTuple):
    """A receipt as read from storage; ``id`` is its place in stored order, ``extra`` a JSON text."""

    id: int
    message_id: str
    provider: str
    status: str
    recipient: str
    ts: datetime
    received_at: datetime
    error: str | None
    extra: str | None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One item of a delivery that could not be understood; ``where`` is its path in the payload."""

    reason: Reason
    where: str


@dataclass(frozen=True, slots=True)
class ReceiptFilter:
    """Conditions on receipts."""

    message_id: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class ReceiptQuery:
    """A request for a page: at most ``limit`` receipts that pass a filter, after the one with the id ``after``."""

    filter: ReceiptFilter
    limit: int
    after: int = 0


@dataclass(frozen=True, slots=True)
class Contents:
    """What a provider found in a delivery."""

    messages: tuple[Message, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An authentic delivery that could not be understood, wholly or in part, as it is kept for a replay.

    ``problems`` says what was wrong with each field or item, by its path in the payload. ``headers`` are only those
    that a replay needs; no secret and no signature is among them.
    """

    provider: str
    raw: bytes = field(repr=False)
    headers: Mapping[str, str]
    target: str
    reason: str
    problems: Mapping[str, list[str]]
    received_at: datetime


@dataclass(frozen=True, slots=True)
class QuarantineSummary:
    """A quarantined delivery without its body, which has ``size`` bytes; it has come ``count`` times."""

    id: int
    provider: str
    reason: str
    problems: Mapping[str, list[str]]
    first_at: datetime
    last_at: datetime
    count: int
    size: int


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """A quarantined delivery as stored, with its body; it has come ``count`` times, most recently at ``last_at``."""

    id: int
    delivery: Quarantined
    last_at: datetime
    count: int

    @property
    def summary(self) -> QuarantineSummary:
        """The entry as lists show it."""
        kept = self.delivery
        return QuarantineSummary(
            id=self.id,
            provider=kept.provider,
            reason=kept.reason,
            problems=kept.problems,
            first_at=kept.received_at,
            last_at=self.last_at,
            count=self.count,
            size=len(kept.raw),
        )


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


class SecretAge(StrEnum):
    """Which of a provider's two secrets made a signature."""

    CURRENT = "current"
    PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class Secrets:
    """A provider's secret, and the one it replaces while that is being rotated out."""

    current: str = field(repr=False)
    previous: str | None = field(default=None, repr=False)

    def by_age(self) -> list[tuple[SecretAge, str]]:
        """The secrets that may have signed, the likelier one first."""
        secrets = [(SecretAge.CURRENT, self.current)]
        if self.previous is not None:
            secrets.append((SecretAge.PREVIOUS, self.previous))
        return secrets


class DeliveryRefused(Exception):
    """A delivery that is not accepted; ``result`` and ``reason`` say so in the log and in the metrics."""

    result: Result

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class SignatureInvalid(DeliveryRefused):
    """Nothing shows that the delivery comes from its provider."""

    result = Result.INVALID_SIGNATURE


class PayloadInvalid(DeliveryRefused):
    """The delivery is authentic but can't be understood; ``errors`` names the fields and what is wrong with each."""

    result = Result.VALIDATION_ERROR

    def __init__(self, reason: Reason, errors: Mapping[str, list[str]]) -> None:
        super().__init__(reason)
        self.errors = errors


class BodyTooLarge(DeliveryRefused):
    """The body is over the limit, and was not read to its end."""

    result = Result.VALIDATION_ERROR

    def __init__(self) -> None:
        super().__init__(Reason.BODY_TOO_LARGE)


class StorageError(Exception):
    """The root of everything that storage raises."""


class StorageUnavailable(StorageError):
    """The database can't be reached, is full, or is not at the schema that this code needs.

    ``detail`` says so to a caller; ``failure`` is what the driver said, for the log alone.
    """

    def __init__(self, detail: str, failure: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.failure = failure or detail


class ConnectionLost(StorageUnavailable):
    """A connection broke in use; another may do."""


class StorageBusy(StorageUnavailable):
    """Another program has the turn to write; it may be done soon."""


class RowRefused(StorageError):
    """The database takes a row for invalid, so the transaction or savepoint around it was undone."""


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
