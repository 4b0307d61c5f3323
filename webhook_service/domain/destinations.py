"""Destinations: URLs that messages are pushed to, how they are pushed, and with what result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from webhook_service.domain.consumers import NOW, FeedFilter, Lag, Start
from webhook_service.domain.formats import format_timestamp
from webhook_service.domain.secrets import Secrets

ANSWER_KEPT = 1024  # bytes of an answer that are kept
HELD_MOST = timedelta(
    hours=1, minutes=10
)  # longer than any lease with its pushes, and than any wait that a receiver asks for
Network = IPv4Network | IPv6Network


class PushOrder(StrEnum):
    """The order of pushes: each sender's messages in stored order, or no order."""

    SENDER = "sender"
    NONE = "none"


class On410(StrEnum):
    """The meaning of a 410: the destination is gone, the message is not wanted, or it is a failure like any other."""

    DISABLE = "disable"
    DEAD = "dead"
    RETRY = "retry"


class Failure(StrEnum):
    """The reason why a push was not accepted."""

    ADDRESS_REFUSED = "address_refused"
    UNKNOWN_HOST = "unknown_host"
    NOT_CONNECTED = "not_connected"
    TLS_FAILED = "tls_failed"
    TIMED_OUT = "timed_out"
    BROKEN_OFF = "broken_off"
    REDIRECTED = "redirected"
    STATUS = "status"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One push of a message: when it began, how many seconds it took, and what came back.

    ``status`` is None if no answer came; ``answer`` is its first ``ANSWER_KEPT`` bytes as text. ``failure`` is None if
    the message was accepted. ``retry_after`` is the wait that the receiver asked for, in seconds.
    """

    at: datetime
    seconds: float
    status: int | None = None
    failure: Failure | None = None
    answer: str = ""
    retry_after: float | None = None

    @property
    def is_accepted(self) -> bool:
        """Tells whether the receiver took the message."""
        return self.failure is None

    def summary(self) -> dict[str, Any]:
        """Returns the part of a failed attempt that is stored, as JSON values."""
        return {
            "at": format_timestamp(self.at),
            "seconds": round(self.seconds, 3),
            "status": self.status,
            "failure": self.failure,
            "answer": self.answer,
        }


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits in seconds: on connecting, and on a whole push, connecting included."""

    connect: float = 5.0
    total: float = 20.0


@dataclass(frozen=True, slots=True)
class Retries:
    """The delays of retries: random, up to ``first`` seconds at first, with a bound that doubles up to ``longest``.

    A message that fails ``total`` seconds or more after its first attempt becomes a dead letter.
    """

    first: float = 5.0
    longest: float = 3600.0
    total: float = 86_400.0

    @property
    def waits_at_most(self) -> timedelta:
        """The longest wait between two attempts, whatever the receiver asks for."""
        return max(HELD_MOST, timedelta(seconds=self.longest))


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, the secrets that sign what is sent to it, and networks that it may be in although they are not public."""

    url: str
    secrets: Secrets
    timeouts: Timeouts = field(default_factory=Timeouts)
    allowed_networks: Sequence[Network] = ()


@dataclass(frozen=True, slots=True)
class Destination:
    """One declared destination. ``concurrency`` is for each forwarder; ``rate``, in messages a second, is for all.

    ``start`` is its first place in the feed, when a forwarder comes to know it.
    """

    name: str
    target: Target
    filter: FeedFilter = field(default_factory=FeedFilter)
    start: Start = NOW
    order: PushOrder = PushOrder.SENDER
    concurrency: int = 10
    rate: float | None = None
    retries: Retries = field(default_factory=Retries)
    on_410: On410 = On410.DISABLE


def time_to_come(moment: datetime | None, now: datetime, most: timedelta) -> datetime:
    """Returns a stored time that is still to come, or else now.

    One that is further away than it can have been set was set by a clock that was ahead, and has been set back since.
    """
    return moment if moment is not None and now < moment <= now + most else now


class DestinationState(StrEnum):
    """The state of a destination, which decides whether it is pushed to.

    ``paused``: after many failures, one message at a time finds out whether it is back. ``disabled``: it answered 410,
    and nothing is pushed until somebody resumes it.
    """

    ACTIVE = "active"
    PAUSED = "paused"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class DestinationHealth:
    """The health of a destination, which all forwarders share: how it is doing.

    ``failures`` counts failures in a row, ``probes`` the failed probes since it was paused. Nothing is pushed before
    ``held_until``; with a rate, no more is pushed before ``next_slot`` than is claimed already. ``pushed`` and
    ``failed`` count pushes.
    """

    state: DestinationState = DestinationState.ACTIVE
    failures: int = 0
    probes: int = 0
    paused_at: datetime | None = None
    held_until: datetime | None = None
    next_slot: datetime | None = None
    pushed: int = 0
    failed: int = 0
    last_pushed_at: datetime | None = None
    last_failed_at: datetime | None = None
    last_failure: Failure | None = None
    last_status: int | None = None

    def is_held(self, now: datetime) -> bool:
        """Tells whether nothing may be pushed yet."""
        return time_to_come(self.held_until, now, HELD_MOST) > now


@dataclass(frozen=True, slots=True)
class Retry:
    """A message that waits for another attempt, by its id in the feed; ``attempts`` are the failed ones so far.

    The forwarder that has taken it has it until ``taken_until``.
    """

    id: int
    feed_id: int
    sender: str
    attempts: Sequence[Mapping[str, Any]]
    first_at: datetime | None
    taken_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class WaitingMessage:
    """A message that waits until ``next_at`` for another attempt or, if that is None, for an earlier message."""

    message_id: str
    sender: str
    attempts: Sequence[Mapping[str, Any]]
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class DestinationReport:
    """A destination, with its health and its progress.

    ``target`` is None for one that is no longer declared; ``place`` and ``lag`` are None for one that no forwarder
    knows yet. ``retries`` is the number of messages that wait for another attempt, or a lower bound of it if
    ``retries_is_exact`` is false.
    """

    name: str
    target: Target | None
    health: DestinationHealth = field(default_factory=DestinationHealth)
    place: int | None = None
    lag: Lag | None = None
    retries: int = 0
    retries_is_exact: bool = True
    dead_letters: int = 0


class DestinationNotFound(Exception):
    """No forwarder knows a destination of this name."""


class DestinationDeclared(Exception):
    """The destination is declared, so it can't be forgotten."""
