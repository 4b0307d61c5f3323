"""Databases that the tests break."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgresql import HOW_TO_ENABLE, PostgresqlServer, own_server


@pytest.fixture
def faulty_url(request: pytest.FixtureRequest) -> str:
    """A migrated database of the kind that the parameter names."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def own_postgresql() -> Iterator[PostgresqlServer]:
    """A durable PostgreSQL server of the test's own; its folder has a short name, since a socket's path must."""
    with tempfile.TemporaryDirectory(prefix="webhook_service-") as directory, own_server(Path(directory)) as server:
        if server is None:
            pytest.skip(HOW_TO_ENABLE)
        yield server
