"""Databases at the schema of an earlier release, and migrations of a later one."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import NullPool

from webhook_service.configuration.database_url import parse_url
from webhook_service.storage import migrate
from webhook_service.storage.migrate import MIGRATIONS, newest_migration

ADDED_INDEX = "ix_of_a_test"
ADDING = """
from webhook_service.storage.large_indexes import LargeIndex

revision = "9999"
down_revision = "{newest}"
LARGE_INDEXES = (LargeIndex("{index}", "messages", ({columns},)),)


def upgrade() -> None:
    for index in LARGE_INDEXES:
        index.create()
"""
DROPPING = """
from alembic import op

revision = "9999"
down_revision = "{newest}"
DROPPED_INDEXES = ("{index}",)


def upgrade() -> None:
    op.execute("DROP INDEX IF EXISTS {index}")
"""


@contextmanager
def engine(url: str) -> Iterator[Engine]:
    """Gives an engine whose connections know nothing of the service's schema."""
    made = create_engine(parse_url(url), poolclass=NullPool)
    yield made
    made.dispose()


def migrate_to(url: str, revision: str) -> None:
    """Makes a new database at the schema of a revision."""
    if url.startswith("sqlite"):
        Path(parse_url(url).database or "").parent.mkdir(exist_ok=True)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine(url) as made, made.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def insert(connection: Connection, table: str, **values: object) -> None:
    """Stores a row without using anything that the service knows about its tables."""
    marks = ["?" if connection.dialect.name == "sqlite" else "%s"] * len(values)
    statement = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(marks)})"
    connection.exec_driver_sql(statement, tuple(values.values()))


def add_index(folder: Path, monkeypatch: pytest.MonkeyPatch, *columns: str) -> None:
    """Adds a migration that makes an index of messages to those that this process knows."""
    names = ", ".join(f'"{column}"' for column in columns)
    _add_migration(folder, monkeypatch, ADDING.format(newest=newest_migration(), index=ADDED_INDEX, columns=names))


def drop_index(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Adds a migration that drops an index to those that this process knows."""
    _add_migration(folder, monkeypatch, DROPPING.format(newest=newest_migration(), index=name))


def _add_migration(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    shutil.copytree(MIGRATIONS, folder / "migrations")
    (folder / "migrations" / "versions" / "9999_a_test.py").write_text(text)
    monkeypatch.setattr(migrate, "MIGRATIONS", folder / "migrations")
