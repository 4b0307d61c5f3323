"""The schema: where it comes from, and what the service does with a database that has another."""

import sqlite3
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import op
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, text

from tests.support.consumers import store
from tests.support.messages import as_sent, message
from tests.support.migrating import engine, insert, migrate_to
from tests.support.processes import BIN, ROOT, environment
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.domain.messages import Message, MessageFilter, MessageQuery
from webhook_service.domain.quarantine import QuarantineSize
from webhook_service.storage.database import Database
from webhook_service.storage.destination_models import DestinationRow
from webhook_service.storage.migrate import migrate, newest_migration
from webhook_service.storage.models import Base
from webhook_service.storage.queries.messages import encode_message, find_message, insert_messages
from webhook_service.storage.queries.pages import list_messages
from webhook_service.storage.queries.quarantine import read_sizes
from webhook_service.storage.schema_version import SCHEMA_VERSION
from webhook_service.storage.writer_lock import WriterLock

NOT_THERE = "the database file is missing or can't be opened"


@contextmanager
def opened(url: URL) -> Iterator[Database]:
    database = Database(url, pool_size=2)
    yield database
    database.close()


def stored_ids(url: URL) -> list[str]:
    with opened(url) as database, database.snapshot() as snapshot:
        page = list_messages(snapshot, MessageQuery(MessageFilter(), limit=100))
    return [each.message_id for each in page]


def refusal_of_a_read(database: Database) -> str:
    with pytest.raises(StorageUnavailable) as refused, database.snapshot():
        pass
    return refused.value.detail


def refusal_of_a_write(database: Database) -> str:
    with pytest.raises(StorageUnavailable) as refused, database.transaction() as transaction:
        insert_messages(transaction, [encode_message(message())])
    return refused.value.detail


def set_version(url: str, version: str) -> None:
    with engine(url) as made, made.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})


def is_described_by_models(name: str | None, _kind: str, _parents: object) -> bool:
    """All but the index for searching, which only some databases have."""
    return "trigrams" not in (name or "")


def test_the_migrations_make_what_the_models_say(database_url: str) -> None:
    with engine(database_url) as made, made.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_name": is_described_by_models}
        )

        assert compare_metadata(context, Base.metadata) == []
        assert DestinationRow.metadata is Base.metadata


def test_the_service_reads_the_newest_migration() -> None:
    assert newest_migration() == SCHEMA_VERSION


def test_migrating_twice_keeps_what_is_there(database_url: str, database: Database) -> None:
    with database.transaction() as transaction:
        insert_messages(transaction, [encode_message(message("a"))])

    migrate(parse_url(database_url))

    assert stored_ids(parse_url(database_url)) == ["a"]


def test_several_processes_may_migrate_at_once(empty_database_url: str) -> None:
    environ = environment(empty_database_url)
    processes = [
        subprocess.Popen([BIN / "webhook-service", "migrate"], cwd=ROOT, env=environ, stderr=subprocess.PIPE)
        for _ in range(3)
    ]

    failures = [process.communicate(timeout=60)[1] for process in processes]

    assert failures == [b""] * 3
    assert [process.returncode for process in processes] == [0] * 3
    with opened(parse_url(empty_database_url)) as database:
        assert database.problems() == []


def test_a_new_sqlite_file_is_private(tmp_path: Path) -> None:
    migrate(parse_url(f"sqlite:///{tmp_path / 'new' / 'app.db'}"))

    assert (tmp_path / "new" / "app.db").stat().st_mode & 0o077 == 0


def test_a_sqlite_file_may_have_any_name(tmp_path: Path) -> None:
    url = URL.create("sqlite", database=str(tmp_path / "a b?c#d%20ä.db"))

    migrate(url)

    with opened(url) as database, database.transaction() as transaction:
        insert_messages(transaction, [encode_message(message("a"))])

    assert stored_ids(url) == ["a"]


def test_a_missing_sqlite_file_is_not_made_by_the_service(tmp_path: Path) -> None:
    file = tmp_path / "app.db"

    with opened(parse_url(f"sqlite:///{file}")) as database:
        assert refusal_of_a_read(database) == refusal_of_a_write(database) == NOT_THERE
        assert database.problems() == [NOT_THERE]

    assert not file.exists()


def test_a_missing_postgresql_database_is_unavailable(postgresql_server: str) -> None:
    with opened(parse_url(postgresql_server).set(database="not_there")) as database:
        assert refusal_of_a_read(database) == refusal_of_a_write(database) == "the database is not available"
        assert database.problems() == ["the database is not available"]


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    file.write_bytes(b"no database" * 1000)

    with opened(parse_url(f"sqlite:///{file}")) as database:
        assert refusal_of_a_read(database) == refusal_of_a_write(database) == "the database file is not a database"
    with pytest.raises(StorageUnavailable):
        migrate(parse_url(f"sqlite:///{file}"))
    assert file.read_bytes() == b"no database" * 1000


def test_a_database_that_is_not_migrated_is_refused(empty_database_url: str, tmp_path: Path) -> None:
    url = parse_url(empty_database_url)
    if url.drivername == "sqlite":
        file = Path(url.database or "")
        file.parent.mkdir()
        file.touch()

    with opened(url) as database:
        assert refusal_of_a_read(database) == refusal_of_a_write(database) == "the database is not migrated"
        assert database.problems() == ["the database is not migrated"]

        migrate(url)
        assert database.problems() == []


def test_a_database_of_a_newer_release_is_left_alone(database_url: str) -> None:
    set_version(database_url, "9999")

    with opened(parse_url(database_url)) as database:
        assert "9999" in refusal_of_a_read(database)
        assert "9999" in refusal_of_a_write(database)
        assert database.problems() == [f"the database is at migration 9999, not at {SCHEMA_VERSION}"]
    with pytest.raises(StorageUnavailable) as refused:
        migrate(parse_url(database_url))
    assert refused.value.detail == "the database is of a newer release"


def test_a_sqlite_file_that_was_replaced_is_opened_anew(sqlite_url: str, tmp_path: Path) -> None:
    url = parse_url(sqlite_url)

    with opened(url) as database:
        with database.transaction() as transaction:
            insert_messages(transaction, [encode_message(message("a"))])
        for file in tmp_path.glob("app.db*"):
            file.unlink()
        assert refusal_of_a_write(database) == NOT_THERE
        migrate(url)
        with database.transaction() as transaction:
            insert_messages(transaction, [encode_message(message("b"))])

    assert stored_ids(url) == ["b"]


def replace(file: Path) -> None:
    """Puts a new database in the place of one that is in use, as a restore does."""
    other = file.with_name("restored.db")
    migrate(parse_url(f"sqlite:///{other}"))
    for part in file.parent.glob(f"{file.name}-*"):
        part.unlink()
    other.replace(file)


def test_a_file_that_was_replaced_is_written_to_whoever_opened_it_first(sqlite_url: str, tmp_path: Path) -> None:
    url = parse_url(sqlite_url)
    with opened(url) as database:
        store(database, "a")
        replace(tmp_path / "app.db")
        with database.changes():
            store(database, "b")

    assert stored_ids(url) == ["b"]


def test_a_file_that_is_replaced_while_a_writer_waits_for_its_turn_is_written_to(
    sqlite_url: str, tmp_path: Path
) -> None:
    url = parse_url(sqlite_url)
    with opened(url) as database, ThreadPoolExecutor(1) as threads:
        store(database, "a")
        with WriterLock(tmp_path / "app.db.lock").acquired():
            storing = threads.submit(store, database, "b")
            with pytest.raises(TimeoutError):
                storing.result(timeout=0.2)
            replace(tmp_path / "app.db")
        storing.result()

    assert stored_ids(url) == ["b"]


def test_a_migration_that_dies_half_way_is_undone_and_may_be_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = parse_url(f"sqlite:///{tmp_path / 'app.db'}")
    with monkeypatch.context() as broken:
        broken.setattr(op, "create_index", _fail)
        with pytest.raises(RuntimeError):
            migrate(url)

    migrate(url)

    assert stored_ids(url) == []


def _fail(*_arguments: object) -> None:
    raise RuntimeError


@pytest.mark.parametrize("recipient", ["to_msisdn", "to_msisddn"])
def test_the_messages_of_the_fastapi_original_are_taken_over(tmp_path: Path, recipient: str) -> None:
    path = tmp_path / "app.db"
    columns = f"message_id TEXT PRIMARY KEY, from_msisdn TEXT, {recipient} TEXT, ts TEXT, text TEXT, created_at TEXT"
    row = ("m-1", "+4915", "+4930", "2025-01-15T12:00:00+02:00", "Grüße", "2025-01-15T10:00:01.250000Z")
    with closing(sqlite3.connect(path)) as original, original:
        original.execute(f"CREATE TABLE messages ({columns})")
        original.execute("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)", row)
    url = parse_url(f"sqlite+aiosqlite:///{path}")

    told: list[str] = []

    migrate(url, told.append)
    migrate(url, told.append)

    (kept,) = tmp_path.glob("app.db.original-*Z")
    with closing(sqlite3.connect(kept)) as original:
        assert original.execute("SELECT * FROM messages").fetchall() == [row]
    assert told == [
        f"{path} is a database of the FastAPI original: it is converted in place.",
        f"As it was, it is kept in {kept}.",
    ]
    with opened(url) as database, database.snapshot() as snapshot:
        taken_over = find_message(snapshot, "m-1")
        found = list_messages(snapshot, MessageQuery(MessageFilter(q="GRÜSSE"), limit=10))
    assert taken_over is not None
    assert as_sent(taken_over) == Message(
        message_id="m-1",
        provider="native",
        sender="+4915",
        recipient="+4930",
        ts=datetime(2025, 1, 15, 10, tzinfo=UTC),
        received_at=datetime(2025, 1, 15, 10, 0, 1, 250_000, tzinfo=UTC),
        text="Grüße",
    )
    assert found == [taken_over]


def test_what_is_in_quarantine_already_is_measured(empty_database_url: str) -> None:
    migrate_to(empty_database_url, "0006")
    with engine(empty_database_url) as made, made.begin() as connection:
        for number, size in enumerate((100, 200)):
            moment = "2025-01-15 10:00:00.000000"
            insert(
                connection,
                "quarantine",
                provider="native",
                body_sha256=f"{number}" * 64,
                raw=b"x" * size,
                headers="{}",
                target="/webhook",
                reason="not_json",
                problems="{}",
                count=1,
                first_at=moment,
                last_at=moment,
            )

    migrate(parse_url(empty_database_url))

    with opened(parse_url(empty_database_url)) as database, database.snapshot() as snapshot:
        assert read_sizes(snapshot) == {"native": QuarantineSize(2, 300 + 2 * (2 + 8 + 1024))}
