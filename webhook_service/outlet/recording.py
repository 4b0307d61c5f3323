"""Records what was done for one destination, and takes what comes next for it, in a transaction of a forwarder.

Each message of a stretch is either pushed or becomes a row that waits for another attempt, so a stretch is soon
complete whatever the receiver does.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from webhook_service.domain.consumers import Death, Stretch
from webhook_service.domain.destinations import (
    Attempt,
    DestinationHealth,
    DestinationState,
    PushOrder,
    Retry,
    time_to_come,
)
from webhook_service.outlet.backoff import retry_delay
from webhook_service.outlet.breaker import fail, is_not_wanted, succeed
from webhook_service.outlet.leases import Locked, give, read_next
from webhook_service.outlet.push_threads import LeasedStretch, PushJob
from webhook_service.outlet.work import RENEWED_AFTER, DestinationWork, Pace, Taken
from webhook_service.storage.queries.consumers import count_up_to
from webhook_service.storage.queries.dead_letters import add_dead_letters
from webhook_service.storage.queries.destinations import read_health, save_health
from webhook_service.storage.queries.retries import (
    add_retries,
    bring_forward,
    change_retry,
    delete_retry,
    find_first_waiting_by_sender,
    find_retries,
    free_retry,
    make_all_due,
    make_first_due,
    queue_behind,
    take_due,
)
from webhook_service.storage.queries.stretches import change_stretch, delete_stretch, find_free, find_lease

CLAIMED_AHEAD = timedelta(seconds=1)
PROBE_WINDOW = 100  # new messages among which one is looked for that doesn't have to wait
ATTEMPTS_KEPT = 100  # the latest attempts at a message


@dataclass(slots=True)
class DestinationTransaction:
    """The part of a transaction that is about one destination, whose consumer's row is locked.

    ``leases`` are the stretches that were looked up by the tokens of leases, as they were before anything was recorded.
    """

    locked: Locked
    work: DestinationWork
    health: DestinationHealth
    leases: dict[str, Stretch | None] = field(default_factory=dict)

    @classmethod
    def begin(cls, locked: Locked, work: DestinationWork) -> "DestinationTransaction":
        """Reads how the destination is doing, from which its part of the transaction goes on."""
        return cls(locked, work, read_health(locked.transaction, locked.consumer.id))

    def record_and_take(self, *, takes: bool, orphans: Iterable[str] = ()) -> Taken:
        """Records what was done, wakes the senders ``orphans``, and with ``takes`` takes what comes next."""
        before = self.health
        self.work.extending.clear()
        self._record()
        self._renew()
        if before.state is DestinationState.PAUSED and self.health.state is DestinationState.ACTIVE:
            make_all_due(self.locked.transaction, self.locked.consumer.id, self.locked.now)
        for sender in orphans:
            make_first_due(self.locked.transaction, self.locked.consumer.id, sender, self.locked.now)
        taken = self._take() if takes else Taken()
        if self.health != before:
            save_health(self.locked.transaction, self.locked.consumer.id, self.health)
        return taken

    def _record(self) -> None:
        waiting: list[tuple[PushJob, Attempt | None]] = []
        accepted: list[Attempt] = []  # since the last failure
        for result in self.work.results:
            job, attempt = result.job, result.attempt
            if attempt is not None and attempt.is_accepted:
                accepted.append(attempt)
            elif attempt is not None:
                before, accepted = succeed(self.health, accepted), []
                first_at = job.retry.first_at if job.retry else None
                self.health = fail(before, attempt, self.work.destination.on_410, self.locked.now, first_at)
            if job.retry is not None:
                self._record_retry(job.retry, attempt)
            elif (attempt is None or not attempt.is_accepted) and self._is_unrecorded(job):
                waiting.append((job, attempt))
        self.health = succeed(self.health, accepted)
        if waiting:
            self._add_waiting(waiting)

    def _is_unrecorded(self, job: PushJob) -> bool:
        """Tells whether a message of a stretch is still this forwarder's, and not recorded as done.

        Another forwarder may have taken the stretch over, and taken the message. A commit may have succeeded although
        the database was away before it said so.
        """
        stretch = self._find_lease(job.leased.token) if job.leased else None
        return stretch is not None and job.message.id > stretch.after and job.message.id not in stretch.done

    def _find_lease(self, token: str) -> Stretch | None:
        if token not in self.leases:
            self.leases[token] = find_lease(self.locked.transaction, self.locked.consumer, token)
        return self.leases[token]

    def _record_retry(self, retry: Retry, attempt: Attempt | None) -> None:
        transaction, consumer, now = self.locked.transaction, self.locked.consumer, self.locked.now
        if attempt is None:
            free_retry(transaction, retry)
        elif attempt.is_accepted:
            delete_retry(transaction, consumer.id, retry, now)
        elif self._is_final(attempt, retry.first_at or attempt.at):
            if delete_retry(transaction, consumer.id, retry, now):
                self._bury(retry.feed_id, _with(retry, attempt), attempt)
        else:
            failed = _with(retry, attempt)
            delay = retry_delay(self.work.destination.retries, len(failed.attempts), attempt.retry_after)
            change_retry(transaction, failed, now + timedelta(seconds=delay))

    def _add_waiting(self, waiting: list[tuple[PushJob, Attempt | None]]) -> None:
        """Stores messages that have to wait; one behind a waiting message of the same sender waits for that message."""
        transaction, consumer, now = self.locked.transaction, self.locked.consumer, self.locked.now
        is_ordered = self.work.destination.order is PushOrder.SENDER
        ids = [job.message.id for job, _ in waiting]
        firsts = find_first_waiting_by_sender(transaction, consumer.id, ids) if is_ordered else {}
        rows, overtaken = [], []
        for job, attempt in sorted(waiting, key=lambda each: each[0].message.id):
            message = job.message
            retry = Retry(0, message.id, message.sender, (), None)
            due = now
            if attempt is not None:
                retry = _with(retry, attempt)
                if self._is_final(attempt, attempt.at):
                    self._bury(message.id, retry, attempt)
                    continue
                due += timedelta(seconds=retry_delay(self.work.destination.retries, 1, attempt.retry_after))
            first = firsts.get(message.sender)
            is_behind = first is not None and first <= message.id
            if is_ordered and not is_behind:
                firsts[message.sender] = message.id
                overtaken += [] if first is None else [first]
            rows.append(
                {
                    "feed_id": message.id,
                    "sender": message.sender,
                    "attempts": list(retry.attempts),
                    "first_at": retry.first_at,
                    "next_at": None if is_behind else due,
                }
            )
        queue_behind(transaction, consumer.id, overtaken)
        add_retries(transaction, consumer.id, rows)

    def _is_final(self, attempt: Attempt, first_at: datetime) -> bool:
        """Tells whether a failed attempt was the last one, so that the message becomes a dead letter."""
        destination = self.work.destination
        if is_not_wanted(attempt, destination.on_410):
            return True
        return (attempt.at - first_at).total_seconds() >= destination.retries.total

    def _bury(self, feed_id: int, retry: Retry, attempt: Attempt) -> None:
        reason = f"answered {attempt.status}" if attempt.status else str(attempt.failure)
        death = Death(feed_id, reason, retry.attempts)
        add_dead_letters(self.locked.transaction, self.locked.consumer, [death], self.locked.now)

    def _renew(self) -> None:
        """Deletes stretches that are complete; cuts off what is done from the others, and extends their leases.

        Drops those that were taken over or ended, and retries that are gone: the destination was moved, or the messages
        were deleted.
        """
        self.work.drop_retries(self.work.retrying.keys() - find_retries(self.locked.transaction, self.work.retrying))
        for leased in list(self.work.leased.values()):
            age = time.monotonic() - leased.extended
            if not leased.is_complete and not leased.is_changed and age < self.work.lease_seconds * RENEWED_AFTER:
                continue
            stretch = self._find_lease(leased.token)
            if stretch is None:
                self.work.drop_lost(leased)
            elif leased.is_complete:
                delete_stretch(self.locked.transaction, stretch)
            else:
                self._extend(stretch, leased)

    def _extend(self, stretch: Stretch, leased: LeasedStretch) -> None:
        now = self.locked.now
        free_at = now + timedelta(seconds=self.work.lease_seconds)
        extended = replace(stretch, after=leased.after, given_at=now, free_at=free_at, done=leased.done)
        change_stretch(self.locked.transaction, self.locked.consumer, extended)
        self.work.extending.append((leased, time.monotonic()))

    def _take(self) -> Taken:
        health, now = self.health, self.locked.now
        if health.state is DestinationState.DISABLED or health.is_held(now):
            return Taken()
        if health.state is DestinationState.PAUSED:
            return self._take_probe()
        limit = self._limit()
        if limit <= 0:
            return self._take_earlier()
        retries = self._take_retries(limit)
        stretch = self._give(limit - len(retries))
        return Taken(stretch, retries, self._claim(len(retries), stretch))

    def _take_earlier(self) -> Taken:
        """Takes a stretch that another forwarder has left behind, since pending jobs may be waiting for it."""
        room = self.work.room_for_earlier if self.work.pending else 0
        transaction, consumer, now = self.locked.transaction, self.locked.consumer, self.locked.now
        if room <= 0 or find_free(transaction, consumer, now) is None:
            return Taken()
        return Taken(self._give(room))

    def _take_probe(self) -> Taken:
        """Takes one message to find out whether the destination is back; meanwhile no forwarder takes another.

        Every other one is new, since those that wait may be the very messages that the receiver can't take.
        """
        until = self.locked.now + timedelta(seconds=self.work.lease_seconds)
        self.health = replace(self.health, held_until=until)
        if self.health.probes % 2 and (number := self._find_probe()):
            return Taken(self._give(number))
        retries = self._take_retries(1, early=True)
        return Taken(None if retries else self._give(1), retries)

    def _find_probe(self) -> int:
        """Returns how many new messages to take so that only the last doesn't have to wait, or 0 if each has to.

        The others have to wait for an earlier message of their sender.
        """
        transaction, consumer = self.locked.transaction, self.locked.consumer
        messages = read_next(self.locked, PROBE_WINDOW)
        is_ordered = self.work.destination.order is PushOrder.SENDER
        stuck = (
            find_first_waiting_by_sender(transaction, consumer.id, [each.id for each in messages]) if is_ordered else {}
        )
        return next((number for number, each in enumerate(messages, 1) if each.sender not in stuck), 0)

    def _take_retries(self, limit: int, *, early: bool = False) -> list[Retry]:
        transaction, consumer, now = self.locked.transaction, self.locked.consumer, self.locked.now
        until = now + timedelta(seconds=self.work.retry_seconds)
        bring_forward(transaction, consumer.id, now, now + self.work.destination.retries.waits_at_most)
        return take_due(transaction, consumer.id, now, until, limit, early=early, besides=self.work.retrying)

    def _give(self, limit: int) -> Stretch | None:
        return give(self.locked, limit, timedelta(seconds=self.work.lease_seconds)) if limit > 0 else None

    def _limit(self) -> int:
        """Returns how many messages may be taken; with a rate, one second's worth, or 0 if that is claimed already."""
        rate = self.work.destination.rate
        if rate is None:
            return self.work.room
        is_claimed = self._next_slot(rate) - self.locked.now > CLAIMED_AHEAD
        return 0 if is_claimed else min(self.work.room, _at_once(rate))

    def _claim(self, retries: int, stretch: Stretch | None) -> Pace:
        """Claims time for the pushes, where the destination has a rate, which all forwarders share."""
        rate, now = self.work.destination.rate, self.locked.now
        if rate is None:
            return Pace()
        number = retries
        if stretch is not None:
            wanted = self.locked.consumer.options.filter
            number += count_up_to(self.locked.transaction, wanted, stretch.after, stretch.last, self.work.room)[0]
        begin = self._next_slot(rate)
        self.health = replace(self.health, next_slot=begin + timedelta(seconds=number / rate))
        return Pace(time.monotonic() + (begin - now).total_seconds(), 1 / rate)

    def _next_slot(self, rate: float) -> datetime:
        most = CLAIMED_AHEAD + timedelta(seconds=_at_once(rate) / rate)
        return time_to_come(self.health.next_slot, self.locked.now, most)


def _at_once(rate: float) -> int:
    return max(1, int(rate))


def _with(retry: Retry, attempt: Attempt) -> Retry:
    """Returns a retry with one more failed attempt."""
    attempts = (*retry.attempts, attempt.summary())[-ATTEMPTS_KEPT:]
    return replace(retry, attempts=attempts, first_at=retry.first_at or attempt.at)
