"""The directory of the metrics, and all that is never deleted with it."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import FreshServer
from tests.support.waiting import wait_until
from webhook_service.serving.metrics_directory import MARK, PREFIX, MetricsDirectory


def directories(parent: Path) -> list[Path]:
    return list(parent.glob(f"{PREFIX}*"))


def left_by_a_killed_server(parent: Path) -> Path:
    """A directory whose server has ended without a word."""
    made = f"from {MetricsDirectory.__module__} import *; import os; from pathlib import Path; "
    made += f"(MetricsDirectory(Path({str(parent)!r})).path / 'counter_1.db').touch(); os._exit(0)"
    subprocess.run([sys.executable, "-c", made], check=True)
    (directory,) = directories(parent)
    return directory


def test_a_directory_that_is_given_keeps_all_that_it_holds(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "counter_1.db").write_text("of somebody else")

    with FreshServer(sqlite_url, PROMETHEUS_MULTIPROC_DIR=str(tmp_path)) as server:
        assert len(directories(tmp_path)) == 1
        assert b"http_requests_total" in server.get("/metrics").data
        server.terminate()
        server.wait()

    assert {path.name for path in tmp_path.iterdir()} >= {"app.db", "counter_1.db"}
    assert directories(tmp_path) == []


def test_no_other_user_can_enter_it(tmp_path: Path) -> None:
    directory = MetricsDirectory(tmp_path)

    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    directory.remove()


def test_what_a_killed_server_left_is_removed_and_that_of_a_running_one_is_not(tmp_path: Path) -> None:
    left = left_by_a_killed_server(tmp_path)
    running = MetricsDirectory(tmp_path)

    later = MetricsDirectory(tmp_path)

    assert not left.exists()
    assert set(directories(tmp_path)) == {running.path, later.path}
    running.remove()
    later.remove()


def test_a_directory_that_holds_more_than_metrics_stays(tmp_path: Path) -> None:
    left = left_by_a_killed_server(tmp_path)
    (left / "app.db").touch()

    MetricsDirectory(tmp_path).remove()

    assert (left / "app.db").exists()


@pytest.mark.parametrize("name", ["link", "mark"])
def test_no_link_is_followed(name: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "counter_1.db").touch()
    (elsewhere / MARK).touch()
    parent = tmp_path / "parent"
    (parent / f"{PREFIX}mark").mkdir(parents=True)
    (parent / f"{PREFIX}link").symlink_to(elsewhere)
    (parent / f"{PREFIX}mark" / MARK).symlink_to(elsewhere / MARK)
    (parent / f"{PREFIX}mark" / "counter_2.db").touch()

    MetricsDirectory(parent).remove()

    assert {path.name for path in elsewhere.iterdir()} == {"counter_1.db", MARK}
    assert (parent / f"{PREFIX}{name}").exists()


def test_a_directory_that_is_not_there_is_one_clear_line(sqlite_url: str, tmp_path: Path) -> None:
    server = FreshServer(sqlite_url, PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "missing"))
    server.start()

    wait_until(lambda: server.process.poll() is not None, "the server to give up")

    (line,) = server.output().splitlines()
    assert line == f"PROMETHEUS_MULTIPROC_DIR: no directory can be made in {tmp_path / 'missing'} " + (
        "(No such file or directory)"
    )


def test_only_the_process_that_made_it_removes_it(tmp_path: Path) -> None:
    directory = MetricsDirectory(tmp_path)
    child = os.fork()
    if not child:
        directory.remove()
        os._exit(0)
    os.waitpid(child, 0)

    assert directory.path.exists()
    directory.remove()
