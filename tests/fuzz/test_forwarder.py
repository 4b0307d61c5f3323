"""Two forwarders of two destinations against a simple model: whatever fails and dies, no message is lost."""

from collections.abc import Collection
from contextlib import suppress
from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import delete

from tests.fuzz.machines import run
from tests.fuzz.pushes import Ledger, Stored
from tests.support.hands import PUSH_SECONDS, Answer, Clocks, FlakyDatabase, Hands, Push, Trouble, declared
from tests.support.pushes import feed_ids, store_of
from tests.support.stored import empty
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.consumers import BEGINNING, NOW, ConsumerKind, DeadLetterFilter
from webhook_service.domain.destinations import HELD_MOST, On410, PushOrder
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.outlet.consumers import Consumers
from webhook_service.outlet.dead_letters import DeadLetters
from webhook_service.outlet.destinations import Destinations
from webhook_service.outlet.resending import resend
from webhook_service.storage.models import MessageRow
from webhook_service.storage.queries.consumers import list_consumers

STEPS = 40
NAMES = ("a", "b")
SENDERS = ("+491", "+492", "+493")

which = st.integers(0, 1)
names = st.sampled_from(NAMES)
answers = st.sampled_from([Answer.TAKEN, Answer.TAKEN, *Answer])
some_answers = st.lists(answers, max_size=5)
troubles = st.sampled_from([None, None, None, *Trouble])
senders = st.lists(st.sampled_from(SENDERS), min_size=1, max_size=5)


class Forwarding(RuleBasedStateMachine):
    """Two forwarders at a time, which die and are replaced, and receivers that answer as the example says."""

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.clocks = Clocks()
        self.patch = pytest.MonkeyPatch()
        self.clocks.rule(self.patch)
        self.database = FlakyDatabase(parse_url(self.url), pool_size=3)
        self.ledgers: dict[str, Ledger] = {}
        self.number = 0

    @initialize(
        orders=st.tuples(st.sampled_from(PushOrder), st.sampled_from(PushOrder)),
        on_410=st.sampled_from(On410),
        sets_clock=st.booleans(),
    )
    def begin(self, orders: tuple[PushOrder, PushOrder], on_410: On410, *, sets_clock: bool) -> None:
        """Declares the destinations, and starts the forwarders."""
        empty(self.url)
        self.sets_clock = sets_clock
        self.declared = [declared(name, order, on_410) for name, order in zip(NAMES, orders, strict=True)]
        self.forwarders = [self.new_forwarder() for _ in range(2)]
        self.forwarders[0].forwarder.register()
        self.ledgers = {each.name: Ledger(self.database, each, may_repeat=sets_clock) for each in self.declared}
        with self.database.primary_snapshot() as snapshot:
            for consumer in list_consumers(snapshot):
                self.ledgers[consumer.name].consumer_id = consumer.id
        self.deliver(list(SENDERS))

    def new_forwarder(self) -> Hands:
        return Hands(self.database, self.clocks, self.declared)

    @rule(senders=senders)
    def deliver(self, senders: list[str]) -> None:
        """Stores some messages."""
        new = {}
        for sender in senders:
            self.number += 1
            new[f"m{self.number}"] = sender
            store_of(self.database, sender, f"m{self.number}")
        ids = feed_ids(self.database, new)
        for ledger in self.ledgers.values():
            for message_id, sender in new.items():
                ledger.store(message_id, sender, ids[message_id])

    @rule(
        at=which,
        pause=st.sampled_from([0, 0.6, 6]),
        trouble=troubles,
        answered=st.tuples(some_answers, some_answers),
        records=st.booleans(),
    )
    def forward(
        self,
        at: int,
        pause: float,
        trouble: Trouble | None,
        answered: tuple[list[Answer], list[Answer]],
        *,
        records: bool,
    ) -> None:
        """Has a forwarder run a cycle, and makes some pushes to each destination, one after another."""
        self.wait(pause)
        hands = self.forwarders[at]
        if trouble is None:
            self.cycle(hands)
        else:
            with self.database.troubled(trouble), suppress(StorageUnavailable):
                hands.forwarder.cycle()
        for name, each in zip(NAMES, answered, strict=True):
            for answer in each:
                if (push := self.begin_push(hands, name)) is not None:
                    self.end_push(hands, push, answer)
        if records:
            self.cycle(hands, only_records=True)

    @rule(times=st.integers(1, 3), answered=st.tuples(some_answers, some_answers))
    def go_on(self, times: int, answered: tuple[list[Answer], list[Answer]]) -> None:
        """Lets both forwarders do that without trouble, as it is most of the time."""
        for _ in range(times):
            for at in range(len(self.forwarders)):
                self.forward(at, 0.6, None, answered, records=False)

    @rule(at=which, name=names)
    def begin_slow(self, at: int, name: str) -> None:
        """Begins a push that takes its time."""
        self.begin_push(self.forwarders[at], name)

    @rule(at=which, place=st.integers(0, 5), answer=answers)
    def end_slow(self, at: int, place: int, answer: Answer) -> None:
        """Ends a push that was under way."""
        hands = self.forwarders[at]
        if hands.under_way:
            self.end_push(hands, hands.under_way[place % len(hands.under_way)], answer)

    @rule(at=which, answer=answers, seconds=st.sampled_from([0, 31, 40]))
    def die(self, at: int, answer: Answer, seconds: float) -> None:
        """Kills a forwarder, whose receivers may have what was under way, and starts another."""
        for push in self.forwarders[at].under_way:
            if answer.is_taken:
                self.ledgers[push.work.name].take(push.message_id)
        self.forwarders[at] = self.new_forwarder()
        self.wait(seconds)

    @rule(seconds=st.sampled_from([3, 31, 100]))
    def pass_time(self, seconds: float) -> None:
        """Lets time pass in which no forwarder does anything."""
        self.wait(seconds)

    @precondition(lambda self: self.sets_clock)
    @rule(seconds=st.sampled_from([-4000, -40, -5, 5, 40, 4000]))
    def set_clock(self, seconds: float) -> None:
        """Sets the wall clock on or back."""
        self.clocks.step(seconds)

    @rule(
        deed=st.sampled_from(["resume", "retry", "resend", "beginning", "now", "message", "erase"]),
        name=names,
        place=st.integers(0, 20),
        number=st.integers(1, 3),
    )
    def intervene(self, deed: str, name: str, place: int, number: int) -> None:
        """Does what an operator may do."""
        ledger = self.ledgers[name]
        chosen = list(ledger.stored)[place : place + number]
        before = ledger.read()
        match deed:
            case "resume":
                Destinations(self.database, {}).resume(name)
            case "retry":
                self.retry_dead_letters(ledger, before)
            case "resend":
                resend(self.database, ConsumerKind.DESTINATION, name, [ledger.feed_ids[each] for each in chosen])
                ledger.owe_again([each for each in chosen if ledger.feed_ids[each] <= before.given_up_to], before)
            case "erase":
                self.erase(chosen)
            case _:
                self.seek(ledger, deed, before)

    def retry_dead_letters(self, ledger: Ledger, before: Stored) -> None:
        dead = ledger.dead(before)
        wanted = DeadLetterFilter(consumer=ledger.name)
        assert DeadLetters(self.database, self.clocks.read_now).retry_all(wanted) == len(dead)
        ledger.owe_again(dead, before)

    def seek(self, ledger: Ledger, start: str, before: Stored) -> None:
        stored = list(ledger.stored)
        if start == "message" and not stored:
            return
        middle = {"beginning": 0, "now": len(stored)}.get(start, len(stored) // 2)
        place = {"beginning": BEGINNING, "now": NOW}.get(start, stored[middle] if start == "message" else "")
        Consumers(self.database, ConsumerKind.DESTINATION, self.clocks.read_now).seek(ledger.name, place)
        ledger.seek(ledger.read().given_up_to, before, self.forwarders)

    def erase(self, gone: list[str]) -> None:
        with self.database.transaction() as transaction:
            transaction.execute(delete(MessageRow).where(MessageRow.message_id.in_(gone)))
        for ledger in self.ledgers.values():
            ledger.erase(gone)

    @invariant()
    def none_is_lost(self) -> None:
        """Each message that a destination has not taken is a dead letter, or waits in the database."""
        for ledger in self.ledgers.values():
            assert ledger.lost() == set()

    def cycle(self, hands: Hands, *, only_records: bool = False) -> None:
        for ledger in self.ledgers.values():
            ledger.begin_to_record(hands)
        if only_records:
            hands.forwarder.record()
        else:
            hands.forwarder.cycle()
        for ledger in self.ledgers.values():
            ledger.end_recording(self.forwarders)

    def begin_push(self, hands: Hands, name: str) -> Push | None:
        push = hands.begin(name)
        if push is not None:
            self.ledgers[name].begin(push)
        return push

    def end_push(self, hands: Hands, push: Push, answer: Answer) -> None:
        ledger = self.ledgers[push.work.name]
        if answer.is_taken:
            ledger.read()
            ledger.take(push.message_id)
        hands.finish(push, answer.attempt(self.clocks.now))

    def wait(self, seconds: float) -> None:
        """Lets time pass, in which pushes time out."""
        for hands in self.forwarders:
            for push in list(hands.under_way):
                if self.clocks.monotonic() + seconds - push.began >= PUSH_SECONDS:
                    self.end_push(hands, push, Answer.SILENT)
        self.clocks.sleep(seconds)

    def teardown(self) -> None:
        """Lets one destination fail for good while the other takes all that it is owed; then the first comes back."""
        try:
            if self.ledgers:
                # A clock that was set back has some messages wait until it shows again when they are due, and those
                # may be as far away as any may.
                self.wait(self.clocks.behind() + HELD_MOST.total_seconds() if self.sets_clock else 100)
                self.drain("b", failing={"a"})
                self.drain("a", failing=set())
        finally:
            self.database.close()
            self.patch.undo()

    def drain(self, name: str, failing: Collection[str]) -> None:
        """Lets a forwarder push until a destination has all that it is owed."""
        hands = self.new_forwarder()
        self.forwarders = [hands]
        Destinations(self.database, {}).resume(name)
        for _ in range(300):
            self.cycle(hands)
            for each in NAMES:
                while (push := self.begin_push(hands, each)) is not None:
                    self.end_push(hands, push, Answer.BROKEN if each in failing else Answer.TAKEN)
            if self.ledgers[name].is_settled():
                return
            self.clocks.sleep(2)
        raise AssertionError(f"{name} still waits for {self.ledgers[name].owed}")


def test_whatever_dies_each_message_is_taken_or_dead_or_still_waits(database_url: str) -> None:
    run(Forwarding, STEPS, url=database_url)
