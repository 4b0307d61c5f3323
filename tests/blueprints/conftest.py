"""Servers that the tests of the contract share."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgresql import fresh_database
from tests.support.server import Server


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Server]]:
    """The servers that were started, by worker and kind of database."""
    started: dict[tuple[str, str], Server] = {}
    yield started
    for server in started.values():
        server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def contract_sqlite_url(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path_factory.mktemp('contract') / 'app.db')}"


@pytest.fixture(scope="session")
def contract_postgresql_url(postgresql_server: str, postgresql_template: str) -> Iterator[str]:
    with fresh_database(postgresql_server, postgresql_template) as url:
        yield url
