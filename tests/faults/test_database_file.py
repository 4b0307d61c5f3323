"""A SQLite file that is missing, not writable, not a database or too new: 503 that says why, and hands off the file."""

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.deliveries import payload
from tests.support.server import Server
from tests.support.stored import stored_ids
from webhook_service.storage.schema_version import SCHEMA_VERSION

NOT_THERE = "the database file is missing or can't be opened"


@pytest.fixture
def file(sqlite_url: str, tmp_path: Path) -> Path:
    """The migrated file, in a folder of its own."""
    folder = tmp_path / "data"
    folder.mkdir()
    return (tmp_path / "app.db").rename(folder / "app.db")


def url_of(file: Path) -> str:
    return f"sqlite:///{file}"


def assert_unavailable(server: Server, detail: str) -> None:
    """Deliveries and reads get 503, readiness says why, and the process lives."""
    answers = [server.deliver(payload()) for _ in range(4)]
    ready = server.get("/health/ready")

    assert {answer.status for answer in answers} == {503}
    assert all(answer.headers["Retry-After"].isdecimal() for answer in answers)
    assert (ready.status, ready.json()) == (503, {"detail": detail})
    assert server.get("/messages").status == 503
    assert server.get("/health/live").status == 200


def assert_recovered(server: Server, file: Path) -> None:
    """Deliveries are stored in the file that is at the path now."""
    sent = [payload() for _ in range(8)]
    assert {server.deliver(content).status for content in sent} == {200}
    assert server.get("/health/ready").status == 200
    assert {content["message_id"] for content in sent} <= set(stored_ids(url_of(file)))


def remove_database(file: Path) -> None:
    for part in file.parent.glob("app.db*"):
        part.unlink()


def test_a_missing_file_is_not_made_and_is_used_once_it_is_there(file: Path, sqlite_template: Path) -> None:
    file.unlink()

    with Server(url_of(file)) as server:
        assert_unavailable(server, NOT_THERE)
        assert not file.exists()
        shutil.copy(sqlite_template, file)
        assert_recovered(server, file)


def test_a_file_deleted_under_a_running_server_takes_no_more_deliveries(file: Path, sqlite_template: Path) -> None:
    with Server(url_of(file)) as server:
        assert_recovered(server, file)
        remove_database(file)
        assert_unavailable(server, NOT_THERE)
        assert not file.exists()
        shutil.copy(sqlite_template, file)
        assert_recovered(server, file)


def test_a_file_replaced_under_a_running_server_takes_the_next_deliveries(file: Path, sqlite_template: Path) -> None:
    with Server(url_of(file)) as server:
        assert_recovered(server, file)
        other = shutil.copy(sqlite_template, file.with_name("restored.db"))
        remove_database(file)
        Path(other).rename(file)
        assert_recovered(server, file)
        stored = stored_ids(url_of(file))

    assert len(stored) == 8
    assert stored_ids(url_of(file)) == stored


def test_a_file_that_is_no_database_is_left_as_it_is(file: Path) -> None:
    content = b"no database" * 1000
    file.write_bytes(content)

    with Server(url_of(file)) as server:
        assert_unavailable(server, "the database file is not a database")

    assert file.read_bytes() == content


def test_a_database_of_a_newer_migration_is_left_as_it_is(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()
    content = file.read_bytes()

    with Server(url_of(file)) as server:
        assert_unavailable(server, f"the database is at migration 9999, not at {SCHEMA_VERSION}")

    assert file.read_bytes() == content


@pytest.fixture
def mounted_folder(file: Path) -> Iterator[Path]:
    """The file's folder as a mount of its own: root, as whom the tests may run, is stopped by no permission."""
    folder = file.parent
    if subprocess.run(["mount", "--bind", folder, folder], capture_output=True, check=False).returncode:
        pytest.skip("file systems can't be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def remount(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,bind,{option}", folder], check=True)


def test_a_read_only_file_system_costs_503_until_it_is_writable_again(mounted_folder: Path, file: Path) -> None:
    content = file.read_bytes()
    remount(mounted_folder, "ro")

    with Server(url_of(file)) as server:
        answers = [server.deliver(payload()) for _ in range(4)]
        ready = server.get("/health/ready")
        untouched = file.read_bytes()
        remount(mounted_folder, "rw")
        assert_recovered(server, file)

    assert {answer.status for answer in answers} == {503}
    assert all(answer.headers["Retry-After"].isdecimal() for answer in answers)
    assert ready.status == 503
    assert "not writable" in ready.json()["detail"] or ready.json()["detail"] == NOT_THERE
    assert untouched == content
