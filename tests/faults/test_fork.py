"""What a process opened before it forked stays its own."""

import subprocess
import sys

from tests.support.processes import ROOT
from tests.support.stored import is_intact, stored_ids


def fork(url: str, when: str) -> list[str]:
    """Returns what the forking program wrote, line by line."""
    command = [sys.executable, "-m", "tests.faults.forking", url, when]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.splitlines()


def test_parent_and_child_of_a_fork_before_the_first_use_both_store(database_url: str) -> None:
    assert fork(database_url, "unused") == ["created", "created"]

    assert stored_ids(database_url) == ["child", "after"]


def test_a_child_forked_inside_a_transaction_has_a_connection_of_its_own_on_postgresql(postgresql_url: str) -> None:
    assert fork(postgresql_url, "inside") == ["waits", "created", "created"]

    assert stored_ids(postgresql_url) == ["parent", "child", "after"]


def test_a_child_forked_after_sqlite_was_opened_is_refused_and_harms_nothing(sqlite_url: str) -> None:
    refused = "the database was opened before this process was forked"
    assert fork(sqlite_url, "inside") == ["waits", refused, "created"]

    assert stored_ids(sqlite_url) == ["parent", "after"]
    assert is_intact(sqlite_url)
