"""Destinations: where messages are pushed to, how, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from webhook_service.domain.consumers import NOW, FeedFilter, Lag, Start
from webhook_service.domain.formats import format_timestamp
from webhook_service.domain.secrets import Secrets

ANSWER_KEPT = 1024  # bytes of an answer
Network = IPv4Network | IPv6Network


class PushOrder(StrEnum):
    """The order of pushes: the messages of each sender in stored order, or none."""

    SENDER = "sender"
    NONE = "none"


class On410(StrEnum):
    """What a 410 means: that the destination is gone, that the message is not wanted, or a failure like any other."""

    DISABLE = "disable"
    DEAD = "dead"
    RETRY = "retry"


class Failure(StrEnum):
    """What kept a push from being accepted."""

    ADDRESS_REFUSED = "address_refused"
    UNKNOWN_HOST = "unknown_host"
    NOT_CONNECTED = "not_connected"
    TLS_FAILED = "tls_failed"
    TIMED_OUT = "timed_out"
    BROKEN_OFF = "broken_off"
    REDIRECTED = "redirected"
    STATUS = "status"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One push of a message: when, what came back, and how long it took in seconds.

    ``status`` is None where no answer came; ``answer`` is the first ``ANSWER_KEPT`` bytes of one as text. ``failure``
    is None where the message was accepted. ``retry_after`` is the wait that the receiver asked for, in seconds.
    """

    at: datetime
    seconds: float
    status: int | None = None
    failure: Failure | None = None
    answer: str = ""
    retry_after: float | None = None

    @property
    def accepted(self) -> bool:
        """Tells whether the receiver took the message."""
        return self.failure is None

    def summary(self) -> dict[str, Any]:
        """Returns what is kept of a failed attempt, as JSON values."""
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
    """How a message is tried again: after a random time of up to ``first`` seconds, which doubles up to ``longest``.

    A message that fails ``total`` seconds after its first attempt becomes a dead letter.
    """

    first: float = 5.0
    longest: float = 3600.0
    total: float = 86_400.0


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, the secrets that sign what is sent to it, and the networks beyond the public ones that it may be in."""

    url: str
    secrets: Secrets
    timeouts: Timeouts = field(default_factory=Timeouts)
    allowed_networks: Sequence[Network] = ()


@dataclass(frozen=True, slots=True)
class Destination:
    """One declared destination. ``concurrency`` is of each forwarder; ``rate``, in messages a second, of all.

    ``start`` is where in the feed it begins when a forwarder first knows it.
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


class DestinationState(StrEnum):
    """Whether a destination is pushed to.

    ``paused``: after many failures, one message at a time finds out whether it is back. ``disabled``: it answered 410,
    and nothing is pushed until somebody resumes it.
    """

    ACTIVE = "active"
    PAUSED = "paused"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a destination is doing, as all forwarders know it.

    ``failures`` came in a row, ``probes`` since it was paused. Nothing is pushed before ``held_until``, and what has a
    rate not before ``next_slot``. ``pushed`` and ``failed`` count pushes.
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
        return self.held_until is not None and now < self.held_until


@dataclass(frozen=True, slots=True)
class Retry:
    """A message that waits for another attempt, by its id in the feed; ``attempts`` are those that failed."""

    id: int
    feed_id: int
    sender: str
    attempts: Sequence[Mapping[str, Any]]
    first_at: datetime | None


@dataclass(frozen=True, slots=True)
class WaitingMessage:
    """A message that waits for another attempt until ``next_at``, or, where that is None, for one before it."""

    message_id: str
    sender: str
    attempts: Sequence[Mapping[str, Any]]
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """A destination, and how far it is.

    ``target`` is None for one that is declared no more; ``place`` and ``lag`` are None for one that no forwarder knows
    yet. ``retries`` messages wait for another attempt.
    """

    name: str
    target: Target | None
    standing: Standing = field(default_factory=Standing)
    place: int | None = None
    lag: Lag | None = None
    retries: int = 0
    dead_letters: int = 0


class DestinationNotFound(Exception):
    """No forwarder knows a destination of this name."""


class DestinationDeclared(Exception):
    """The destination is declared, so it can't be forgotten."""
