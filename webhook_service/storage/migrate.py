"""Brings a database to the schema that this code needs. Nothing else makes the SQLite file of a service."""

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import psycopg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from webhook_service.domain.errors import StorageUnavailable
from webhook_service.shipped import shipped
from webhook_service.storage.backup import back_up
from webhook_service.storage.large_indexes import LargeIndex, build_large_indexes, drop_indexes
from webhook_service.storage.postgresql import ADVISORY_LOCK
from webhook_service.storage.writer_lock import WriterLock

MIGRATIONS = shipped("migrations")
_LOCK_PATIENCE = 200  # milliseconds that writers have to wait behind a migration which waits for tables
_PAUSE = 0.1  # seconds for those that were in its way


Tell = Callable[[str], None]
"""Shows a line to whoever runs the migration."""


def migrate(url: URL, tell: Tell = lambda _line: None) -> None:
    """Upgrades a database to the newest migration; several processes may do so at once, and it may be in use.

    A database of the FastAPI original is first copied to a file beside it, which ``tell`` reports.

    Raises StorageUnavailable when the database can't be reached or is of a newer release.
    """
    try:
        if url.drivername == "sqlite":
            _migrate_sqlite(url, tell)
        else:
            _migrate_postgresql(url)
    except (DBAPIError, OSError) as error:
        raise StorageUnavailable("the database is not available", str(error)) from error
    except (CommandError, RevisionError) as error:
        raise StorageUnavailable("the database is of a newer release", str(error)) from error


def newest_migration() -> str | None:
    """Returns the revision that ``migrate`` brings a database to."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Runs the migrations up to ``revision`` in the transaction of the connection."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _migrate_sqlite(url: URL, tell: Tell) -> None:
    path = Path(url.database or "").absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT, 0o600))
    # Left to itself, the driver would commit each table alone, and what a killed migration left behind would be in the
    # way of the next one.
    engine = create_engine(url, poolclass=NullPool, connect_args={"isolation_level": None})
    lock = WriterLock(path.with_name(path.name + ".lock"))
    _build_in_steps(engine, lock)
    with lock.acquired(), engine.connect() as connection:
        if _is_of_the_original(connection):
            _keep_the_original(url, path, tell)
        _configure(connection)
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        upgrade(connection)
        connection.exec_driver_sql("COMMIT")


def _build_in_steps(engine: Engine, lock: WriterLock) -> None:
    with engine.connect() as connection:
        if MigrationContext.configure(connection).get_current_revision() is None:
            return
        if not (wanted := list(_missing_large_indexes(connection))):
            return
        with lock.acquired():
            _configure(connection)
        for index in wanted:
            index.build_in_steps(connection, lock)


def _configure(connection: Connection) -> None:
    connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    connection.exec_driver_sql("PRAGMA synchronous = FULL")
    connection.exec_driver_sql("PRAGMA secure_delete = ON")  # or a dropped index would leave phone numbers in the file


def _is_of_the_original(connection: Connection) -> bool:
    tables = inspect(connection).get_table_names()
    return "messages" in tables and "alembic_version" not in tables


def _keep_the_original(url: URL, path: Path, tell: Tell) -> None:
    copy = path.with_name(f"{path.name}.original-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    back_up(url, copy, progress=lambda _done, _total: None)
    tell(f"{path} is a database of the FastAPI original: it is converted in place.")
    tell(f"As it was, it is kept in {copy}.")


def _migrate_postgresql(url: URL) -> None:
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
        if encoding != "UTF8":
            raise StorageUnavailable(
                f"the encoding of the database is {encoding}, in which not every text can be stored",
                "make one by createdb --template=template0 --encoding=UTF8",
            )
        build_large_indexes(connection, _missing_large_indexes(connection))
        drop_indexes(connection, _dropped_indexes(connection))
    with engine.connect() as connection:
        while not _try_to_take_turn(connection):
            connection.rollback()
            time.sleep(_PAUSE)
        upgrade(connection)
        connection.commit()


def _try_to_take_turn(connection: Connection) -> bool:
    """Begins a transaction and tells whether it has the turn to write and the tables that deliveries are written to.

    A statement that stores deliveries locks its table before it waits for the turn, and other writers do so the other
    way round. So nobody may wait for one of the two who keeps the other: one of them would end in a deadlock.
    """
    written = sorted({"messages", "receipts"} & set(inspect(connection).get_table_names()))
    try:
        if written:
            connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_PATIENCE}ms'"))
            connection.execute(text(f"LOCK TABLE {', '.join(written)} IN SHARE ROW EXCLUSIVE MODE"))
            connection.execute(text("SET LOCAL lock_timeout TO DEFAULT"))
    except OperationalError as error:
        if isinstance(error.orig, psycopg.errors.LockNotAvailable):
            return False
        raise
    return bool(connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK}))


def _missing_large_indexes(connection: Connection) -> Iterator[LargeIndex]:
    for migration in _migrations_to_run(connection):
        yield from getattr(migration, "LARGE_INDEXES", ())


def _dropped_indexes(connection: Connection) -> Iterator[str]:
    for migration in _migrations_to_run(connection):
        yield from getattr(migration, "DROPPED_INDEXES", ())


def _migrations_to_run(connection: Connection) -> Iterator[ModuleType]:
    current = MigrationContext.configure(connection).get_current_revision()
    for script in ScriptDirectory.from_config(_config()).iterate_revisions("head", current or "base"):
        yield script.module


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
