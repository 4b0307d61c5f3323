"""``webhook-service backup``: a copy of one moment, or nothing."""

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.support.commands import call_cli
from tests.support.messages import message
from tests.support.processes import BIN, environment
from tests.support.stored import is_intact, opened, stored_ids
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.storage.backup import PAGES_A_STEP, back_up
from webhook_service.storage.database import Database
from webhook_service.storage.queries.messages import encode_message, insert_messages

MANY = 6_000  # messages, in more pages than are copied in one step


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    with opened(sqlite_url) as database:
        yield database


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """Where the backup goes, in a folder of its own."""
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder / "backup.db"


def run(backup: Path, url: str) -> CompletedProcess[str]:
    return call_cli("backup", str(backup), environ=environment(url))


def store(database: Database, *ids: str) -> None:
    with database.transaction() as transaction:
        insert_messages(transaction, [encode_message(message(each, text="much to copy " * 30)) for each in ids])


def file_of(url: str) -> Path:
    return Path(parse_url(url).database or "")


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_backup_is_of_one_moment_however_much_is_stored_while_it_copies(
    sqlite_url: str, database: Database, backup: Path
) -> None:
    before = [f"{at}" for at in range(MANY)]
    store(database, *before)
    steps = 0

    def store_meanwhile(_done: int, total: int) -> None:
        nonlocal steps
        steps += 1
        assert steps <= total // PAGES_A_STEP + 1, "it began anew"
        store(database, f"while copying {steps}")

    back_up(parse_url(sqlite_url), backup, store_meanwhile)

    assert steps > 1
    assert sorted(stored_ids(f"sqlite:///{backup}")) == sorted(before)
    assert len(stored_ids(sqlite_url)) == MANY + steps


def test_a_backup_holds_what_only_the_write_ahead_log_has(sqlite_url: str, database: Database, backup: Path) -> None:
    store(database, "in the log")
    assert file_of(sqlite_url).with_name("app.db-wal").stat().st_size > 0

    made = run(backup, sqlite_url)

    assert (made.returncode, made.stdout) == (0, "")
    assert f"{backup.stat().st_size:,} bytes in {backup}" in made.stderr
    assert stored_ids(f"sqlite:///{backup}") == ["in the log"]
    assert is_intact(f"sqlite:///{backup}")


def test_a_backup_is_one_file_that_only_its_owner_reads_and_that_serves_as_it_is(
    sqlite_url: str, database: Database, backup: Path
) -> None:
    store(database, "a")

    run(backup, sqlite_url)

    assert left_in(backup.parent) == [backup.name]
    assert backup.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(backup)) as copy:
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_backup_has_its_name_only_when_it_is_done(sqlite_url: str, backup: Path) -> None:
    seen = []

    back_up(parse_url(sqlite_url), backup, lambda _done, _total: seen.extend(left_in(backup.parent)))

    assert backup.name not in seen
    assert f"{backup.name}.unfinished" in seen
    assert left_in(backup.parent) == [backup.name]


@pytest.mark.parametrize("name", ["backup.db", "backup.db.unfinished"])
def test_a_backup_never_writes_over_a_file(name: str, sqlite_url: str, backup: Path) -> None:
    mine = backup.with_name(name)
    mine.write_text("mine")

    refused = run(backup, sqlite_url)

    assert refused.returncode == 1
    assert f"{mine} exists" in refused.stderr
    assert (left_in(backup.parent), mine.read_text()) == ([name], "mine")


def test_a_file_that_came_while_it_copied_is_not_written_over(sqlite_url: str, backup: Path) -> None:
    def come_meanwhile(_done: int, _total: int) -> None:
        backup.write_text("mine")

    with pytest.raises(FileExistsError):
        back_up(parse_url(sqlite_url), backup, come_meanwhile)

    assert (left_in(backup.parent), backup.read_text()) == ([backup.name], "mine")


def test_an_interrupted_backup_leaves_nothing(sqlite_url: str, backup: Path) -> None:
    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(parse_url(sqlite_url), backup, interrupt)

    assert left_in(backup.parent) == []


def test_a_backup_that_finds_no_room_leaves_nothing(sqlite_url: str, backup: Path) -> None:
    # In units of 512 bytes: less than an empty database.
    limited = ["sh", "-c", 'ulimit -f 64 && exec "$@"', "sh", str(BIN / "webhook-service"), "backup", str(backup)]

    failed = subprocess.run(limited, env=environment(sqlite_url), capture_output=True, text=True, check=False)

    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("Error: ")
    assert left_in(backup.parent) == []


def test_a_damaged_database_makes_no_backup(sqlite_url: str, database: Database, backup: Path) -> None:
    store(database, *(f"{at}" for at in range(200)))
    database.close()
    file = file_of(sqlite_url)
    with file.open("r+b") as pages:
        pages.seek(file.stat().st_size // 2)
        pages.write(b"\xff" * 8192)

    with pytest.raises(StorageUnavailable) as refused:
        back_up(parse_url(sqlite_url), backup, lambda _done, _total: None)

    assert refused.value.detail == "the database file is damaged"
    assert left_in(backup.parent) == []


def test_a_database_of_another_release_can_be_backed_up(sqlite_url: str, backup: Path) -> None:
    with closing(sqlite3.connect(file_of(sqlite_url))) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()

    made = run(backup, sqlite_url)

    assert made.returncode == 0
    with closing(sqlite3.connect(backup)) as copy:
        assert copy.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)


@pytest.mark.parametrize(
    ("url", "folder", "complaint"),
    [
        ("postgresql://nobody:h1dden@127.0.0.1:1/none", "", "pg_dump"),
        ("sqlite:////nowhere/app.db", "", "the database file is missing or can't be opened"),
        ("sqlite:///{}", "none", "the backup can't be written"),
    ],
)
def test_a_backup_fails_in_plain_words(
    url: str, folder: str, complaint: str, sqlite_template: Path, tmp_path: Path
) -> None:
    file = shutil.copy(sqlite_template, tmp_path / "app.db")

    failed = run(tmp_path / folder / "backup.db", url.format(file))

    assert failed.returncode == 1
    assert complaint in failed.stderr.splitlines()[-1]
    assert "h1dden" not in failed.stderr
    assert left_in(tmp_path) == ["app.db"]
