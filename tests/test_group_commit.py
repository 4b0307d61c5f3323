"""Many threads, one transaction: who leads, who follows, and what each is told."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Barrier, Event

import pytest

from tests.support.waiting import wait_until
from webhook_service.group_commit import CommitFailed, CommitTimedOut, GroupCommit, _Ticket
from webhook_service.together import Rounds

THREADS = 1000
PATIENCE = 60.0  # seconds: never spent unless something is broken
NO_PATIENCE = 0.01

Take = Callable[[], list[int]]


class Gate:
    """A commit that echoes its batch, each time only when the test lets it; ``batches`` are those it took."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.taken = Event()
        self.open = Event()

    def commit(self, take: Take) -> Sequence[int]:
        batch = take()
        self.batches.append(batch)
        self.taken.set()
        assert self.open.wait(PATIENCE)
        return batch


@contextmanager
def threads(number: int) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(number) as pool:
        yield pool


def offer_behind_a_leader(
    pool: ThreadPoolExecutor, group: GroupCommit[int, int], gate: Gate, followers: int
) -> list[Future[int]]:
    """Item 0 leads and is at the gate, and items 1 to ``followers`` wait behind it."""
    offered = [pool.submit(group.offer, 0)]
    assert gate.taken.wait(PATIENCE)
    offered += [pool.submit(group.offer, number) for number in range(1, followers + 1)]
    wait_until(lambda: len(group._waiting) == followers, "all followers to wait")
    return offered


def test_a_thousand_threads_share_the_commit_after_the_one_under_way() -> None:
    gate = Gate()
    group = GroupCommit[int, int](gate.commit, max_batch=THREADS, patience=PATIENCE)

    with threads(THREADS) as pool:
        offered = offer_behind_a_leader(pool, group, gate, THREADS - 1)
        gate.open.set()
        outcomes = [future.result() for future in offered]

    assert outcomes == list(range(THREADS))
    first, second = gate.batches
    assert first == [0]
    assert sorted(second) == list(range(1, THREADS))


def test_a_batch_is_bounded_and_the_rest_follows_in_order() -> None:
    gate = Gate()
    group = GroupCommit[int, int](gate.commit, max_batch=64, patience=PATIENCE)

    with threads(THREADS) as pool:
        offered = offer_behind_a_leader(pool, group, gate, THREADS - 1)
        queued = [item for ticket in group._waiting for item in ticket.items]
        gate.open.set()
        outcomes = [future.result() for future in offered]

    assert outcomes == list(range(THREADS))
    assert [len(batch) for batch in gate.batches] == [1, *[64] * 15, 39]
    assert [item for batch in gate.batches[1:] for item in batch] == queued


def test_a_thousand_threads_at_once_are_each_told_of_their_own_item_once() -> None:
    committed: list[int] = []
    start = Barrier(THREADS)

    def commit(take: Take) -> list[int]:
        batch = take()
        committed.extend(batch)
        return [-item for item in batch]

    group = GroupCommit[int, int](commit, max_batch=50, patience=PATIENCE)

    def offer(item: int) -> list[int]:
        start.wait(PATIENCE)
        return [group.offer(item), group.offer(item + THREADS)]

    with threads(THREADS) as pool:
        told = list(pool.map(offer, range(THREADS)))

    assert told == [[-item, -item - THREADS] for item in range(THREADS)]
    assert sorted(committed) == list(range(2 * THREADS))


def test_who_comes_while_the_leader_waits_for_its_turn_is_aboard() -> None:
    begun, turn = Event(), Event()

    def commit(take: Take) -> list[int]:
        begun.set()
        assert turn.wait(PATIENCE)
        return take()

    group = GroupCommit[int, int](commit, max_batch=10, patience=PATIENCE)

    with threads(2) as pool:
        leader = pool.submit(group.offer, 1)
        assert begun.wait(PATIENCE)
        follower = pool.submit(group.offer, 2)
        wait_until(lambda: len(group._waiting) == 2, "the second to wait")
        begun.clear()
        turn.set()
        outcomes = [leader.result(), follower.result()]

    assert outcomes == [1, 2]
    assert not begun.is_set()  # there was no second commit


def test_a_batch_taken_again_is_the_same_whoever_came_meanwhile() -> None:
    first_taken, go_on = Event(), Event()
    taken: list[list[int]] = []

    def commit(take: Take) -> list[int]:
        taken.append(take())
        first_taken.set()
        assert go_on.wait(PATIENCE)
        taken.append(take())
        return taken[-1]

    group = GroupCommit[int, int](commit, max_batch=10, patience=PATIENCE)

    with threads(2) as pool:
        leader = pool.submit(group.offer, 1)
        assert first_taken.wait(PATIENCE)
        late = pool.submit(group.offer, 2)
        wait_until(lambda: len(group._waiting) == 1, "the second to wait")
        go_on.set()
        outcomes = [leader.result(), late.result()]

    assert outcomes == [1, 2]
    assert taken == [[1], [1], [2], [2]]


@pytest.mark.parametrize("took", [True, False], ids=["after taking its batch", "before taking its batch"])
def test_a_commit_that_fails_fails_its_batch_and_no_other(took: bool) -> None:
    gate = Gate()
    failure = OSError("no room")

    def commit(take: Take) -> Sequence[int]:
        if len(gate.batches) == 1:
            gate.batches.append(take() if took else [])
            raise failure
        return gate.commit(take)

    group = GroupCommit[int, int](commit, max_batch=3, patience=PATIENCE)

    with threads(6) as pool:
        offered = offer_behind_a_leader(pool, group, gate, 5)
        queued = [item for ticket in group._waiting for item in ticket.items]
        gate.open.set()
        errors = {item: future.exception() for item, future in enumerate(offered)}

    failed = {item for item, error in errors.items() if error is not None}
    assert failed == set(queued[:3])
    assert all(isinstance(errors[item], CommitFailed) for item in failed)
    assert all(error.__cause__ is failure for error in errors.values() if error is not None)
    assert gate.batches[2:] == [queued[3:]]


def test_a_thread_that_is_stopped_while_it_leads_leaves_nobody_waiting() -> None:
    gate = Gate()

    def commit(take: Take) -> Sequence[int]:
        batch = gate.commit(take)
        if batch == [0]:
            raise SystemExit
        return batch

    group = GroupCommit[int, int](commit, max_batch=10, patience=PATIENCE)

    with threads(3) as pool:
        leader, *followers = offer_behind_a_leader(pool, group, gate, 2)
        gate.open.set()
        stopped = leader.exception()
        outcomes = [future.result() for future in followers]

    assert isinstance(stopped, SystemExit)
    assert outcomes == [1, 2]


def test_followers_of_a_leader_that_is_stopped_are_told_that_it_failed() -> None:
    begun, turn = Event(), Event()

    def commit(take: Take) -> list[int]:
        begun.set()
        assert turn.wait(PATIENCE)
        take()
        raise SystemExit

    group = GroupCommit[int, int](commit, max_batch=10, patience=PATIENCE)

    with threads(2) as pool:
        leader = pool.submit(group.offer, 1)
        assert begun.wait(PATIENCE)
        follower = pool.submit(group.offer, 2)
        wait_until(lambda: len(group._waiting) == 2, "the second to wait")
        turn.set()
        errors = [leader.exception(), follower.exception()]

    assert isinstance(errors[0], SystemExit)
    assert isinstance(errors[1], CommitFailed)
    assert errors[1].__cause__ is errors[0]


def test_a_follower_out_of_patience_is_withdrawn_if_no_batch_has_it_yet() -> None:
    gate = Gate()
    group = GroupCommit[int, int](gate.commit, max_batch=10, patience=PATIENCE)

    with threads(2) as pool:
        offered = offer_behind_a_leader(pool, group, gate, 0)
        group._patience = NO_PATIENCE
        impatient = pool.submit(group.offer, 1)
        told = impatient.exception()
        group._patience = PATIENCE
        gate.open.set()
        assert [future.result() for future in offered] == [0]
        assert group.offer(2) == 2

    assert isinstance(told, CommitTimedOut)
    assert gate.batches == [[0], [2]]


def test_a_follower_out_of_patience_is_told_so_while_its_batch_is_under_way() -> None:
    begun, turn, taken, go_on = Event(), Event(), Event(), Event()
    committed: list[int] = []

    def commit(take: Take) -> list[int]:
        begun.set()
        assert turn.wait(PATIENCE)
        batch = take()
        taken.set()
        assert go_on.wait(PATIENCE)
        committed.extend(batch)
        return batch

    group = GroupCommit[int, int](commit, max_batch=10, patience=2.0)

    with threads(2) as pool:
        leader = pool.submit(group.offer, 1)
        assert begun.wait(PATIENCE)
        follower = pool.submit(group.offer, 2)
        wait_until(lambda: len(group._waiting) == 2, "the second to wait")
        turn.set()
        assert taken.wait(PATIENCE)
        told = follower.exception()
        go_on.set()
        outcome = leader.result()

    assert isinstance(told, CommitTimedOut)
    assert outcome == 1
    assert committed == [1, 2]


def test_who_waits_behind_one_that_lost_patience_is_told_all_the_same() -> None:
    begun, turn, taken, go_on = Event(), Event(), Event(), Event()

    def commit(take: Take) -> list[int]:
        begun.set()
        assert turn.wait(PATIENCE)
        batch = take()
        taken.set()
        assert go_on.wait(PATIENCE)
        return batch

    group = GroupCommit[int, int](commit, max_batch=10, patience=PATIENCE)

    with threads(4) as pool:
        leader = pool.submit(group.offer, 1)
        assert begun.wait(PATIENCE)
        group._patience = 1.0
        impatient = [pool.submit(group.offer, number) for number in (2, 3)]
        wait_until(lambda: len(group._waiting) == 3, "two behind the leader")
        group._patience = PATIENCE
        last = pool.submit(group.offer, 4)
        wait_until(lambda: len(group._waiting) == 4, "the last to wait")
        turn.set()
        assert taken.wait(PATIENCE)
        told = [future.exception() for future in impatient]
        go_on.set()
        outcomes = [leader.result(), last.result()]

    assert all(isinstance(error, CommitTimedOut) for error in told)
    assert outcomes == [1, 4]


def test_who_is_called_to_lead_in_the_instant_its_patience_ends_still_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    group = GroupCommit[int, int](gate.commit, max_batch=1, patience=PATIENCE)
    wait = _Ticket.wait

    def wait_and_be_told_too_late(ticket: _Ticket[int, int], seconds: float) -> bool:
        woken = wait(ticket, seconds)
        return woken and not ticket.leads

    with threads(3) as pool:
        offered = offer_behind_a_leader(pool, group, gate, 0)
        monkeypatch.setattr(_Ticket, "wait", wait_and_be_told_too_late)
        offered += [pool.submit(group.offer, number) for number in (1, 2)]
        wait_until(lambda: len(group._waiting) == 2, "the followers to wait")
        gate.open.set()
        outcomes = [future.result() for future in offered]

    assert outcomes == [0, 1, 2]
    assert group.offer(3) == 3


def test_outcomes_that_do_not_match_the_batch_fail_it() -> None:
    group = GroupCommit[int, int](lambda take: take()[1:], max_batch=10, patience=PATIENCE)

    with pytest.raises(CommitFailed) as failed:
        group.offer(1)

    assert isinstance(failed.value.__cause__, ValueError)


def test_calls_that_run_together_in_one_thread_share_a_commit_and_are_each_told_of_their_own() -> None:
    batches: list[list[int]] = []
    told: dict[int, int] = {}

    def commit(take: Take) -> list[int]:
        batches.append(take())
        return [-item for item in batches[-1]]

    group = GroupCommit[int, int](commit, max_batch=100, patience=PATIENCE)

    def call(item: int) -> None:
        told[item] = group.offer(item)

    Rounds().run(partial(call, item) for item in range(50))

    assert batches == [list(range(50))]
    assert told == {item: -item for item in range(50)}


def test_what_one_thread_offers_at_once_stays_together_even_if_it_is_more_than_a_batch() -> None:
    gate = Gate()
    group = GroupCommit[int, int](gate.commit, max_batch=4, patience=PATIENCE)

    def offer_together(items: Sequence[int]) -> None:
        Rounds().run(partial(group.offer, item) for item in items)

    with threads(4) as pool:
        offered = [pool.submit(group.offer, 0)]
        assert gate.taken.wait(PATIENCE)
        for number, items in enumerate([range(10, 13), range(20, 22), range(30, 39)], start=1):
            offered.append(pool.submit(offer_together, items))  # type: ignore[arg-type]  # no outcome is asked for
            wait_until(partial(_waits, group, number), "it to wait")
        gate.open.set()
        for future in offered:
            future.result()

    assert gate.batches == [[0], [10, 11, 12], [20, 21], list(range(30, 39))]


def test_a_commit_that_fails_fails_all_calls_that_offered_together() -> None:
    failure = OSError("no room")
    causes: list[BaseException | None] = []

    def commit(take: Take) -> list[int]:
        raise failure

    group = GroupCommit[int, int](commit, max_batch=10, patience=PATIENCE)

    def call() -> None:
        try:
            group.offer(1)
        except CommitFailed as failed:
            causes.append(failed.__cause__)

    Rounds().run([call, call, call])

    assert causes == [failure] * 3


def _waits(group: GroupCommit[int, int], number: int) -> bool:
    return len(group._waiting) == number
