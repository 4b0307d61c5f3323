"""The deployment in containers, on each database."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.containers.stack import NOT_DEPLOYED, SECRET, Stack
from tests.support.processes import ROOT


@pytest.fixture(scope="session")
def _docker() -> None:
    for command in (["docker", "version"], ["docker", "compose", "version"]):
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=30)
        except (OSError, subprocess.SubprocessError):
            pytest.skip(f"'{' '.join(command)}' fails; with Docker and its Compose plugin: make test-containers")


@pytest.fixture(scope="session", params=["up", "up-postgres"], ids=["sqlite", "postgresql"])
def stack(_docker: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = shutil.copytree(ROOT, tmp_path_factory.mktemp("deployment") / "webhook_service", ignore=NOT_DEPLOYED)
    (folder / ".env").write_text(f"API_TOKEN=\nWEBHOOK_SECRET={SECRET}")
    stack = Stack(request.param, folder)
    try:
        stack.up()
        yield stack
    finally:
        stack.destroy()
    assert stack.volumes() == []
