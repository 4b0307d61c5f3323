"""Leases: stretches of the feed that consumers are given until they acknowledge them.

The cost of a lease does not depend on how many messages it has. A consumer's row says up to where the feed was given
to it; each stretch that was given and not acknowledged is a row, which is deleted when it is acknowledged. So the place
of a consumer is the beginning of its oldest stretch or, if it has none, the end of what it was given.

Whoever changes a consumer or its stretches holds the lock on the consumer's row.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from secrets import token_urlsafe

from webhook_service.domain.consumers import (
    Consumer,
    ConsumerKind,
    ConsumerNotFound,
    Death,
    Lease,
    LeaseEnded,
    NotInLease,
    Stretch,
)
from webhook_service.domain.limits import LEASE_MAX, ROW_ID_MAX
from webhook_service.domain.messages import StoredMessage
from webhook_service.outlet.availability import check_for_messages
from webhook_service.storage.clock import read_now
from webhook_service.storage.database import Database
from webhook_service.storage.queries.consumers import (
    count_up_to,
    find_consumer,
    find_ids_of,
    read_stretch,
    set_given_up_to,
)
from webhook_service.storage.queries.dead_letters import add_dead_letters
from webhook_service.storage.queries.messages import end_of_window, newest_for_programs
from webhook_service.storage.queries.stretches import (
    change_stretch,
    delete_lease,
    delete_stretch,
    find_free,
    find_lease,
    insert_stretches,
    read_unavailable_and_free,
)
from webhook_service.storage.writing import Transaction

LOOKS = 100  # looks at the feed for one lease; if a filter passes over all of them, the next call goes on from there
ENDED_AT_ONCE = 50  # stretches with nothing left to give that one transaction deletes

ReadNow = Callable[[Transaction], datetime]


@dataclass(frozen=True, slots=True)
class Locked:
    """A transaction that has locked a consumer's row, the consumer, and the time."""

    transaction: Transaction
    consumer: Consumer
    now: datetime


class Leases:
    """The leases of the consumers of one kind."""

    def __init__(self, database: Database, kind: ConsumerKind, read_clock: ReadNow = read_now) -> None:
        self._database = database
        self._kind = kind
        self._read_now = read_clock

    def lease(self, name: str, *, limit: int, seconds: float) -> Lease | None:
        """Gives a consumer at most ``limit`` messages for ``seconds``; None when there is nothing for it now.

        Messages that were refused, or whose lease expired, come first. Raises ConsumerNotFound.
        """
        for _ in range(LOOKS):
            with self._database.primary_snapshot() as snapshot:
                consumer = _found(find_consumer(snapshot, self._kind, name))
                newest = newest_for_programs(snapshot)
                availability = check_for_messages(snapshot, consumer, newest, self._read_now(snapshot))
            if not availability.is_worth_leasing:
                return None
            with self._locked(name) as locked:
                if availability.skipped_up_to and locked.consumer.given_up_to == consumer.given_up_to:
                    locked = skip_up_to(locked, availability.skipped_up_to)
                given = give(locked, limit, timedelta(seconds=seconds))
            if given is not None:
                leaves_little = newest - given.last < limit
                return Lease(
                    given.token or "", given.free_at, given.attempt, self._read(locked.consumer, given), leaves_little
                )
        return None

    def ack(self, name: str, token: str, dead: Mapping[str, str] | None = None) -> None:
        """Ends a lease whose messages were taken, except those whose IDs are in ``dead``, each with a reason.

        Those become dead letters. A lease that has expired can be acknowledged until its messages are given again.

        Raises ConsumerNotFound, LeaseEnded, and NotInLease, which leaves the lease as it is.
        """
        with self._database.transaction_without_turn() as transaction:
            consumer = self._lock(transaction, name)
            if dead:
                locked = Locked(transaction, consumer, self._read_now(transaction))
                _set_aside(locked, _found_lease(locked, token), dead)
            if not delete_lease(transaction, consumer, token):
                raise LeaseEnded

    def nack(self, name: str, token: str, *, seconds: float = 0, reason: str | None = None) -> None:
        """Ends a lease whose messages could not be taken; they are given again after ``seconds`` at the earliest.

        Raises ConsumerNotFound and LeaseEnded.
        """
        with self._locked(name) as locked:
            stretch = _found_lease(locked, token)
            free_at = locked.now + timedelta(seconds=seconds)
            refused = replace(stretch, token=None, given_at=locked.now, free_at=free_at, reason=reason)
            change_stretch(locked.transaction, locked.consumer, refused)

    def extend(self, name: str, token: str, *, seconds: float) -> datetime:
        """Has a lease expire ``seconds`` from now, and returns that time.

        Raises ConsumerNotFound, and LeaseEnded even for a lease that has merely expired.
        """
        with self._locked(name) as locked:
            stretch = _found_lease(locked, token)
            if stretch.free_at <= locked.now:
                raise LeaseEnded
            expires_at = locked.now + timedelta(seconds=seconds)
            extended = replace(stretch, given_at=locked.now, free_at=expires_at)
            change_stretch(locked.transaction, locked.consumer, extended)
        return expires_at

    @contextmanager
    def _locked(self, name: str) -> Iterator[Locked]:
        with self._database.transaction_without_turn() as transaction:
            consumer = self._lock(transaction, name)
            yield Locked(transaction, consumer, self._read_now(transaction))

    def _lock(self, transaction: Transaction, name: str) -> Consumer:
        return _found(find_consumer(transaction, self._kind, name, lock=True))

    def _read(self, consumer: Consumer, given: Stretch) -> list[StoredMessage]:
        with self._database.primary_snapshot() as snapshot:
            return read_stretch(snapshot, consumer.options.filter, given.after, given.last)


def _found(consumer: Consumer | None) -> Consumer:
    if consumer is None:
        raise ConsumerNotFound
    return consumer


def _found_lease(locked: Locked, token: str) -> Stretch:
    stretch = find_lease(locked.transaction, locked.consumer, token)
    if stretch is None:
        raise LeaseEnded
    return stretch


def skip_up_to(locked: Locked, skipped_up_to: int) -> Locked:
    set_given_up_to(locked.transaction, locked.consumer, skipped_up_to)
    return replace(locked, consumer=replace(locked.consumer, given_up_to=skipped_up_to))


def give(locked: Locked, limit: int, duration: timedelta) -> Stretch | None:
    """Gives the oldest free stretch, or else the feed's next; None when there is neither, or all leases are taken."""
    unavailable, free = read_unavailable_and_free(locked.transaction, locked.consumer, locked.now)
    if any(stretch.given_at > locked.now for stretch in unavailable):  # the clock was set back
        _begin_anew(locked, unavailable)
        free = find_free(locked.transaction, locked.consumer, locked.now)
    if len(unavailable) >= locked.consumer.options.max_leases:
        return None
    lent = Stretch(0, 0, 0, 0, token_urlsafe(16), locked.now, locked.now + duration, None)
    for _ in range(ENDED_AT_ONCE):
        if free is None:
            return _give_next(locked, limit, lent)
        given = _give_again(locked, free, limit, lent)
        if given is not None:
            return given
        free = find_free(locked.transaction, locked.consumer, locked.now)
    return None


def _begin_anew(locked: Locked, unavailable: Sequence[Stretch]) -> None:
    """Has each lease begin anew that was given in what is now the future, or it would last longer by as much."""
    for stretch in unavailable:
        if stretch.given_at > locked.now:
            free_at = locked.now + (stretch.free_at - stretch.given_at)
            change_stretch(locked.transaction, locked.consumer, replace(stretch, given_at=locked.now, free_at=free_at))


def _give_again(locked: Locked, free: Stretch, limit: int, lent: Stretch) -> Stretch | None:
    """Gives a stretch again, or the first part of it; None when nothing of it is left to give.

    A stretch that was given too often is halved, so that in the end the message that can't be taken stands alone; then
    it is set aside as a dead letter.
    """
    transaction, consumer = locked.transaction, locked.consumer
    wanted = consumer.options.filter
    left, last = count_up_to(transaction, wanted, free.after, free.last, LEASE_MAX + 1, free.done)
    number = min(limit, left)
    if free.attempt >= consumer.options.max_attempts:
        if left == 1:
            reason = free.reason or f"not acknowledged in {free.attempt} attempts"
            add_dead_letters(transaction, consumer, [Death(last, reason)], locked.now)
        number = min(limit, left // 2)
        free = replace(free, attempt=consumer.options.max_attempts - 1)  # one more attempt for each half
    if not number:
        delete_stretch(transaction, free)
        return None
    last = free.last
    if number < left:
        _, last = count_up_to(transaction, wanted, free.after, free.last, number, free.done)
        done_later = [each for each in free.done if each > last]
        insert_stretches(transaction, consumer, [replace(free, after=last, token=None, done=done_later)])
    given = replace(
        lent,
        id=free.id,
        after=free.after,
        last=last,
        attempt=free.attempt + 1,
        reason=free.reason,
        done=[each for each in free.done if each <= last],
    )
    change_stretch(transaction, consumer, given)
    return given


def _give_next(locked: Locked, limit: int, lent: Stretch) -> Stretch | None:
    """Gives the next messages of the feed; None when no message in the window ahead passes the filter."""
    transaction, consumer = locked.transaction, locked.consumer
    wanted = consumer.options.filter
    end = end_of_window(transaction, consumer.given_up_to) if wanted.conditions() else ROW_ID_MAX
    number, last = count_up_to(transaction, wanted, consumer.given_up_to, end, limit)
    if not number:
        return None
    if number < limit and end != ROW_ID_MAX:
        last = end
    given = replace(lent, after=consumer.given_up_to, last=last, attempt=1)
    insert_stretches(transaction, consumer, [given])
    set_given_up_to(transaction, consumer, last)
    return given


def read_next(locked: Locked, limit: int) -> list[StoredMessage]:
    """Reads the messages that would be given next: at most ``limit``, and none that is further than a window away."""
    transaction, consumer = locked.transaction, locked.consumer
    free = find_free(transaction, consumer, locked.now)
    after, last = (
        (free.after, free.last) if free else (consumer.given_up_to, end_of_window(transaction, consumer.given_up_to))
    )
    _, last = count_up_to(transaction, consumer.options.filter, after, last, limit)
    return read_stretch(transaction, consumer.options.filter, after, last)


def _set_aside(locked: Locked, stretch: Stretch, dead: Mapping[str, str]) -> None:
    ids = find_ids_of(locked.transaction, locked.consumer.options.filter, stretch.after, stretch.last, list(dead))
    missing = [message_id for message_id in dead if message_id not in ids]
    if missing:
        raise NotInLease(missing)
    deaths = [Death(ids[message_id], reason) for message_id, reason in dead.items()]
    add_dead_letters(locked.transaction, locked.consumer, deaths, locked.now)
