"""Processes that are killed at random moments, under load: what was answered 200 is stored, exactly once."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.faults.accepting import MESSAGES, RECEIPTS
from tests.faults.cycles import CYCLES_OF_A_PART, in_parts
from tests.faults.holding import held_turn
from tests.support.load import Load
from tests.support.messages import message
from tests.support.processes import ROOT
from tests.support.server import Server
from tests.support.stored import accept, is_intact, opened, stored_ids, stored_ids_and_receipt_ids
from tests.support.waiting import wait_until
from webhook_service.domain.deliveries import Contents


def wait_for_a_random_moment() -> None:
    time.sleep(random.uniform(0, 0.2))


def assert_exactly_once(load: Load, url: str) -> None:
    """Checks that what was acknowledged is stored, and all that was sent once the rest was sent again."""
    stored = stored_ids(url)
    assert load.acknowledged() <= set(stored)
    assert set(stored) <= load.sent()
    assert load.send_the_rest_again() <= {200}
    assert sorted(stored_ids(url)) == sorted(load.sent())
    assert is_intact(url)


@in_parts
def test_killed_workers_lose_nothing_they_acknowledged(faulty_url: str) -> None:
    with Server(faulty_url) as server:
        with Load(server) as load:
            for _ in range(CYCLES_OF_A_PART):
                load.wait_for(20, 200)
                wait_for_a_random_moment()
                victim = random.choice(server.worker_pids())
                os.kill(victim, signal.SIGKILL)
                wait_until(lambda: victim not in server.worker_pids(), "the worker to be gone")  # noqa: B023  # at once
                server.wait_until_it_answers()
            load.wait_for_every_sender(200)

        assert load.statuses() <= {200, None}
        assert_exactly_once(load, faulty_url)


@in_parts
def test_a_killed_server_starts_again_without_repair_and_lost_nothing(faulty_url: str) -> None:
    with Server(faulty_url) as server:
        with Load(server) as load:
            for _ in range(CYCLES_OF_A_PART):
                load.wait_for(20, 200)
                wait_for_a_random_moment()
                server.kill()
                server.start()
                server.wait_until_it_answers()
            load.wait_for_every_sender(200)

        assert load.statuses() <= {200, None}
        assert_exactly_once(load, faulty_url)


def accept_and_be_killed(url: str, acknowledged: Path) -> None:
    """Runs the accepting program until some moment after its first delivery."""
    before = acknowledged.stat().st_size
    command = [sys.executable, "-m", "tests.faults.accepting", url]
    with acknowledged.open("ab") as stdout, subprocess.Popen(command, cwd=ROOT, stdout=stdout) as accepting:
        try:
            wait_until(lambda: acknowledged.stat().st_size > before or accepting.poll() is not None, "a delivery")
            wait_for_a_random_moment()
            assert accepting.poll() is None
        finally:
            accepting.kill()


@in_parts
def test_a_delivery_of_many_items_is_stored_whole_or_not_at_all(faulty_url: str, tmp_path: Path) -> None:
    acknowledged = tmp_path / "acknowledged"
    acknowledged.touch()

    for _ in range(CYCLES_OF_A_PART):
        accept_and_be_killed(faulty_url, acknowledged)

    # PostgreSQL may be about to commit what the last process asked for before it was killed.
    stored = stored_ids_and_receipt_ids(faulty_url)
    messages, receipts = (Counter(item.partition("/")[0] for item in ids) for ids in stored)
    assert set(acknowledged.read_text().split()) <= set(messages)
    assert set(messages.values()) == {MESSAGES}
    assert receipts == dict.fromkeys(messages, RECEIPTS)
    assert is_intact(faulty_url)


def test_a_writer_killed_inside_its_transaction_blocks_nobody(database_url: str) -> None:
    with opened(database_url) as database, held_turn(database_url, "half-written") as holder:
        holder.kill()
        accept(database, Contents(messages=(message("next"),)))

    assert stored_ids(database_url) == ["next"]
