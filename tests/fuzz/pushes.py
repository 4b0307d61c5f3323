"""A model of pushing as simple as can be: the messages that a destination is owed and has taken, in their order."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, bindparam, literal, null, select, type_coerce, union_all

from tests.support.hands import Hands, Push
from webhook_service.domain.destinations import Destination, PushOrder
from webhook_service.storage.consumer_models import ConsumerRow, DeadLetterRow, StretchRow
from webhook_service.storage.database import Database
from webhook_service.storage.destination_models import RetryRow
from webhook_service.storage.writing import Transaction


def _part(kind: str, of_consumer: Any, first: Any, last: Any = None, done: Any = None) -> Select[Any]:
    """Selects a kind of rows of a destination."""
    last, done = (null() if each is None else each for each in (last, done))
    return select(literal(kind), first, last, type_coerce(done, StretchRow.done.type)).where(
        of_consumer == bindparam("consumer")
    )


# It is one statement, and made once: the model reads all that is stored after each step.
_stored = union_all(
    _part("stretch", StretchRow.consumer_id, StretchRow.after, StretchRow.last, StretchRow.done),
    _part("place", ConsumerRow.id, ConsumerRow.handed),
    _part("dead", DeadLetterRow.consumer_id, DeadLetterRow.feed_id),
    _part("waiting", RetryRow.consumer_id, RetryRow.feed_id),
)


@dataclass(frozen=True, slots=True)
class Stored:
    """All that a database knows of a destination, by the ids of messages in the feed."""

    given_up_to: int
    dead: set[int]
    waiting: set[int]
    stretches: list[tuple[int, int, list[int] | None]]

    @classmethod
    def read(cls, snapshot: Transaction, consumer_id: int) -> "Stored":
        """Reads it."""
        given_up_to = 0
        dead, waiting, stretches = set(), set(), []
        for kind, first, last, done in snapshot.execute(_stored, {"consumer": consumer_id}):
            match kind:
                case "place":
                    given_up_to = first
                case "dead":
                    dead.add(first)
                case "waiting":
                    waiting.add(first)
                case _:
                    stretches.append((first, last, done))
        return cls(given_up_to, dead, waiting, stretches)

    def has(self, feed_id: int) -> bool:
        """Tells whether a message is still to be pushed."""
        return (
            feed_id > self.given_up_to
            or feed_id in self.waiting
            or any(after < feed_id <= last and feed_id not in (done or ()) for after, last, done in self.stretches)
        )

    def is_after(self, place: int) -> bool:
        """Tells whether the destination is further than a place."""
        return place < min([self.given_up_to, *(after for after, _, _ in self.stretches)])


class Ledger:
    """The messages of one destination. ``owed`` are those that it has not taken since they were to be pushed last.

    ``recorded`` are those that no forwarder may push again. ``out_of_order`` are those that were set aside or passed
    over, so that their place in the order is lost. ``recording`` are those that a forwarder has in hand at the moment.
    With ``may_repeat`` a message may be pushed again for no reason, since the clock is set on and leases end early.
    """

    def __init__(self, database: Database, destination: Destination, *, may_repeat: bool) -> None:
        self.database = database
        self.name = destination.name
        self.is_ordered = destination.order is PushOrder.SENDER
        self.may_repeat = may_repeat
        self.consumer_id = 0
        self.stored: dict[str, str] = {}  # the senders of messages, in stored order, without those that were deleted
        self.feed_ids: dict[str, int] = {}
        self.owed: set[str] = set()
        self.recorded: set[str] = set()
        self.out_of_order: set[str] = set()
        self.last_first: dict[str, int] = {}
        self.taken: set[str] = set()
        self.recording: set[str] = set()
        self.twice: Counter[str] = Counter()  # messages that were asked for again while they waited

    def store(self, message_id: str, sender: str, feed_id: int) -> None:
        """Notes a new message."""
        self.stored[message_id] = sender
        self.feed_ids[message_id] = feed_id
        self.owed.add(message_id)

    def begin(self, push: Push) -> None:
        """Checks that a push may begin: nobody knows that the message was taken, since nobody asked for it again."""
        assert self.may_repeat or push.message_id not in self.recorded, f"{push.message_id} is pushed again"

    def take(self, message_id: str) -> None:
        """Notes that the receiver has a message, and checks that it is the sender's next."""
        self.owed.discard(message_id)
        if message_id in self.taken:
            return
        self.taken.add(message_id)
        if not self.is_ordered or message_id not in self.stored or message_id in self.out_of_order:
            return
        sender, feed_id = self.stored[message_id], self.feed_ids[message_id]
        assert self.last_first.get(sender, 0) < feed_id, f"{message_id} comes after a later message"
        self.last_first[sender] = feed_id

    def begin_to_record(self, hands: Hands) -> None:
        """Notes what a forwarder is about to record as taken: nothing of a stretch that another one has taken over."""
        work = hands.all_work[self.name]
        work.collect()
        accepted = [each.job for each in work.results if each.attempt and each.attempt.is_accepted]
        tokens = self._tokens() if accepted else set()
        self.recording = {
            job.message.message_id
            for job in accepted
            if job.retry
            or (job.leased and job.leased.token in tokens and work.leased.get(job.leased.token) is job.leased)
        }

    def _tokens(self) -> set[str | None]:
        with self.database.primary_snapshot() as snapshot:
            of_consumer = StretchRow.consumer_id == self.consumer_id
            return set(snapshot.scalars(select(StretchRow.token).where(of_consumer)))

    def end_recording(self, hands: Iterable[Hands]) -> None:
        """Notes what is recorded now, but for what is in hand a second time."""
        again: set[str] = set().union(*(each.in_hand(self.name) for each in hands))
        for each in self.recording - again:
            if self.twice[each]:
                self.twice[each] -= 1
            else:
                self.recorded.add(each)

    def owe_again(self, message_ids: Collection[str], before: Stored) -> None:
        """Notes that messages are to be pushed again: twice, if they waited ``before`` that."""
        self.twice.update(each for each in message_ids if before.has(self.feed_ids[each]))
        self.owed |= set(message_ids)
        self.recorded -= set(message_ids)

    def seek(self, place: int, before: Stored, hands: Iterable[Hands]) -> None:
        """Notes that the place was moved, so that exactly what comes after it is to come, and what a move back leaves.

        What a forwarder has in hand may come once more.
        """
        in_hand: set[str] = set().union(*(each.has(self.name) for each in hands))
        ahead = {each for each in self.stored if self.feed_ids[each] > place}
        waiting = (
            {each for each in self.stored if self.feed_ids[each] in before.waiting} if before.is_after(place) else set()
        )
        self.twice.update(ahead & in_hand)
        self.out_of_order |= set(self.stored) - ahead
        self.owed = ahead | (self.owed & waiting)
        self.recorded |= set(self.stored) - in_hand - waiting
        self.recorded -= ahead

    def erase(self, message_ids: Collection[str]) -> None:
        """Notes that messages were deleted."""
        for each in message_ids:
            self.stored.pop(each, None)
        self.owed -= set(message_ids)

    def read(self) -> Stored:
        """Reads what the database knows, and notes which messages were set aside."""
        with self.database.primary_snapshot() as snapshot:
            stored = Stored.read(snapshot, self.consumer_id)
        self.out_of_order |= self.dead(stored)
        return stored

    def dead(self, stored: Stored) -> set[str]:
        """Returns the IDs of the dead letters."""
        return {each for each, feed_id in self.feed_ids.items() if feed_id in stored.dead}

    def lost(self) -> set[str]:
        """Returns the IDs of messages that are owed, and neither dead letters nor anywhere in the database."""
        stored = self.read()
        return {each for each in self.owed - self.dead(stored) if not stored.has(self.feed_ids[each])}

    def is_settled(self) -> bool:
        """Tells whether nothing is owed any more but dead letters, and nothing waits."""
        stored = self.read()
        return not (self.owed - self.dead(stored) or stored.stretches or stored.waiting)
