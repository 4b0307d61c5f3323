"""Many threads, one transaction.

Threads that offer items at the same time share the cost of committing. The first to come leads: it waits for its
turn, takes everything that waits by then, commits it, and sets down what became of each; whoever came too late for that
is led by the first among them. Calls that run together in one thread (``together.py``) offer as one. There is no thread
in the background, so an idle group costs nothing, a lonely item is committed at once, and there is nothing to flush
when the process stops.

Who was told wakes the next of the batch. If the leader woke them all, they would do nothing but wait for the
interpreter together, and be woken in vain each time that a thread lets go of it for a moment.
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain, islice, pairwise
from threading import Lock
from time import monotonic
from typing import Generic, TypeVar

from webhook_service.together import ask

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class CommitFailed(Exception):
    """The transaction that was to hold the item was not committed; the cause says why."""


class CommitTimedOut(Exception):
    """The item's fate was not known in time: it was withdrawn, or its transaction is still under way."""


class _Ticket(Generic[Item, Outcome]):
    """The items of one thread, and the thread's place to wait."""

    __slots__ = ("_bell", "error", "gone", "items", "leads", "outcomes", "successor")

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self.leads = False
        self.gone = False
        self.successor: _Ticket[Item, Outcome] | None = None
        self.error: BaseException | None = None
        self.outcomes: Sequence[Outcome] = ()
        self._bell = Lock()
        self._bell.acquire()

    def wait(self, seconds: float) -> bool:
        return self._bell.acquire(timeout=max(0.0, seconds))

    def wake(self) -> None:
        self._bell.release()


class GroupCommit(Generic[Item, Outcome]):
    """Gathers the items of many threads into batches.

    ``commit`` is called by one thread at a time with a function that gives the batch: at most ``max_batch`` items, if
    one thread alone does not offer more, in the order in which they came. It calls that as late as it can, so that
    whoever came while it waited for locks is aboard, and may call it again to try the same batch anew. It returns the
    outcomes in the same order when the transaction is committed, and raises when it is not.
    """

    def __init__(
        self,
        commit: Callable[[Callable[[], list[Item]]], Sequence[Outcome]],
        *,
        max_batch: int,
        patience: float,
    ) -> None:
        self._commit = commit
        self._max_batch = max_batch
        self._patience = patience
        self._mutex = Lock()
        self._waiting: deque[_Ticket[Item, Outcome]] = deque()
        self._led = False

    def offer(self, item: Item) -> Outcome:
        """What became of the item, once it is committed.

        Raises CommitFailed when it was not, and CommitTimedOut when ``patience`` seconds passed before that was known.
        """
        return ask(self._offer_all, item)

    def _offer_all(self, items: Sequence[Item]) -> Sequence[Outcome]:
        ticket: _Ticket[Item, Outcome] = _Ticket(items)
        deadline = monotonic() + self._patience
        with self._mutex:
            self._waiting.append(ticket)
            ticket.leads = not self._led
            self._led = True
        if not ticket.leads:
            self._follow(ticket, deadline)
        try:
            if ticket.leads:
                self._lead()
        finally:
            self._wake_successor(ticket)
        if ticket.error is not None:
            raise CommitFailed from ticket.error
        return ticket.outcomes

    def _follow(self, ticket: _Ticket[Item, Outcome], deadline: float) -> None:
        if ticket.wait(deadline - monotonic()):
            return
        with self._mutex:
            if ticket.leads or ticket.wait(0):
                return
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            ticket.gone = True
        raise CommitTimedOut

    def _lead(self) -> None:
        batch: list[_Ticket[Item, Outcome]] = []

        def take() -> list[Item]:
            if not batch:
                batch.extend(self._take())
            return list(chain.from_iterable(ticket.items for ticket in batch))

        try:
            outcomes = self._commit(take)
            _tell(batch, outcomes)
        except BaseException as error:
            take()
            for ticket in batch:
                ticket.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            self._hand_over()
            for ticket, successor in pairwise(batch):
                ticket.successor = successor

    def _take(self) -> list[_Ticket[Item, Outcome]]:
        batch: list[_Ticket[Item, Outcome]] = []
        number = 0
        with self._mutex:
            while self._waiting and (not batch or number + len(self._waiting[0].items) <= self._max_batch):
                batch.append(self._waiting.popleft())
                number += len(batch[-1].items)
        return batch

    def _hand_over(self) -> None:
        with self._mutex:
            if self._waiting:
                heir = self._waiting[0]
                heir.leads = True
                heir.wake()
            else:
                self._led = False

    def _wake_successor(self, ticket: _Ticket[Item, Outcome]) -> None:
        # The leader is the first of its batch, so all of it are woken in turn; who lost patience is passed over.
        with self._mutex:
            successor = ticket.successor
            while successor and successor.gone:
                successor = successor.successor
            if successor:
                successor.wake()


def _tell(batch: list[_Ticket[Item, Outcome]], outcomes: Sequence[Outcome]) -> None:
    items = sum(len(ticket.items) for ticket in batch)
    if len(outcomes) != items:
        raise ValueError(f"{len(outcomes)} outcomes of {items} items")
    remaining = iter(outcomes)
    for ticket in batch:
        ticket.outcomes = list(islice(remaining, len(ticket.items)))
