"""The lock that queues the writers of a SQLite file: between processes, and for how long."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

import pytest

from tests.support.processes import ROOT
from tests.support.waiting import wait_until
from webhook_service.storage.writer_lock import WriterLock

PATIENCE = 60.0  # seconds: never spent unless something is broken
NO_PATIENCE = 0.01
HOLDING = """
import sys
from pathlib import Path
from webhook_service.storage.writer_lock import WriterLock

with WriterLock(Path(sys.argv[1])).acquired():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.db.lock"


@contextmanager
def held_elsewhere(path: Path) -> Iterator[None]:
    """Held through another open file, as another process holds it."""
    with WriterLock(path).acquired():
        yield


def is_free(path: Path) -> bool:
    try:
        with WriterLock(path).acquired(NO_PATIENCE):
            return True
    except TimeoutError:
        return False


def hold_briefly(lock: WriterLock, patience: float | None) -> None:
    with lock.acquired(patience):
        pass


def wait_for(lock: WriterLock, patience: float | None, threads: ThreadPoolExecutor) -> Future[None]:
    """A thread that waits for the lock, which another has."""
    waiting = threads.submit(hold_briefly, lock, patience)
    with pytest.raises(TimeoutError):
        waiting.result(timeout=0.1)
    return waiting


@pytest.mark.parametrize("patience", [None, PATIENCE], ids=["without a limit", "with patience"])
def test_who_waits_gets_the_lock_when_its_holder_lets_go(path: Path, patience: float | None) -> None:
    lock = WriterLock(path)

    with ThreadPoolExecutor(1) as threads:
        with held_elsewhere(path):
            waiting = wait_for(lock, patience, threads)
        waiting.result(PATIENCE)

    assert is_free(path)


def test_who_runs_out_of_patience_is_told_and_leaves_the_lock_to_others(path: Path) -> None:
    lock = WriterLock(path)

    with held_elsewhere(path), pytest.raises(TimeoutError):
        hold_briefly(lock, NO_PATIENCE)

    wait_until(lambda: is_free(path), "the lock to be free again")


def test_who_asks_again_after_giving_up_gets_the_lock(path: Path) -> None:
    lock = WriterLock(path)

    with ThreadPoolExecutor(1) as threads:
        with held_elsewhere(path):
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    hold_briefly(lock, NO_PATIENCE)
            waiting = wait_for(lock, PATIENCE, threads)
        waiting.result(PATIENCE)

    assert is_free(path)


def test_a_lock_whose_holder_is_stopped_is_given_up_in_time(path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGSTOP)
        begun = time.monotonic()

        with pytest.raises(TimeoutError):
            hold_briefly(WriterLock(path), 0.2)

        assert time.monotonic() - begun < 2
    finally:
        holder.kill()
        holder.communicate()
    assert is_free(path)


def test_a_lock_got_after_a_wait_is_held_against_all_others(path: Path) -> None:
    lock = WriterLock(path)
    got, let_go = Event(), Event()

    def hold() -> None:
        with lock.acquired(PATIENCE):
            got.set()
            assert let_go.wait(PATIENCE)

    with ThreadPoolExecutor(1) as threads:
        with held_elsewhere(path):
            holding = threads.submit(hold)
        assert got.wait(PATIENCE)
        assert not is_free(path)
        let_go.set()
        holding.result(PATIENCE)

    assert is_free(path)


def test_one_holds_it_at_a_time_however_many_want_it_and_give_up(path: Path) -> None:
    locks = [WriterLock(path) for _ in range(6)]
    holders: list[int] = []
    most = 0

    def take_often(lock: WriterLock, number: int) -> None:
        nonlocal most
        for turn in range(200):
            with suppress(TimeoutError), lock.acquired(PATIENCE if turn % 2 else 0.0001):
                holders.append(number)
                most = max(most, len(holders))
                os.sched_yield()
                if turn % 20 == 1:
                    assert not is_free(path)  # one more that gives up
                holders.remove(number)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(take_often, locks, range(6)))

    assert most == 1
    wait_until(lambda: is_free(path), "the lock to be free in the end")


def test_a_forked_child_neither_has_its_parents_lock_nor_takes_it_away(path: Path) -> None:
    lock = WriterLock(path)

    with lock.acquired():
        child = os.fork()
        if not child:
            lock.forget()
            os._exit(0 if not is_free(path) else 1)
        _, status = os.waitpid(child, 0)

        assert os.waitstatus_to_exitcode(status) == 0
        assert not is_free(path)
