"""A server of the release before the newest migration is upgraded while deliveries come in."""

import re
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.support.forked import run_cli
from tests.support.load import Load
from tests.support.migrating import engine
from tests.support.processes import BIN, ROOT
from tests.support.server import FreshServer
from tests.support.stored import is_intact, stored_ids
from webhook_service.storage.schema_version import SCHEMA_VERSION

PROMISED = re.compile(r"gap of at most (\d+) seconds")


def git(*arguments: str) -> bytes:
    """Asks the repository; the test is left out where there is none, or not that far back."""
    asked = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    if asked.returncode:
        pytest.skip(f"no history: {asked.stderr.decode()}")
    return asked.stdout


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code as it was before the newest migration."""
    (newest,) = (ROOT / "migrations" / "versions").glob(f"{SCHEMA_VERSION}_*.py")
    added = git("log", "--diff-filter=A", "--format=%H", "--max-count=1", "--", str(newest)).decode().strip()
    folder = tmp_path_factory.mktemp("earlier")
    archive = git("archive", f"{added}^" if added else "HEAD")
    subprocess.run(["tar", "--extract", "--directory", folder], input=archive, check=True)
    return folder


def schema(url: str) -> str:
    """The migration that a database is at."""
    with engine(url) as made, made.connect() as connection:
        return str(connection.scalar(text("SELECT version_num FROM alembic_version")))


def test_an_upgrade_loses_nothing_and_has_the_gap_that_its_page_says(empty_database_url: str, earlier: Path) -> None:
    server = FreshServer(empty_database_url)
    newer, older = server.environ, {**server.environ, "PYTHONPATH": str(earlier)}
    server.environ, server.checkout = older, earlier
    subprocess.run([BIN / "python", "-m", "webhook_service", "migrate"], cwd=earlier, env=older, check=True)
    assert schema(empty_database_url) < SCHEMA_VERSION

    with server, Load(server) as load:
        load.wait_for_every_sender(200, times=5)
        assert run_cli("migrate", environ=newer).stderr == ""
        load.wait_for_every_sender(200, times=5)
        before = list(load.answers)
        server.terminate()
        server.wait()
        server.environ, server.checkout = newer, ROOT
        server.start()
        load.wait_for_every_sender(200, times=5)
        again = load.send_the_rest_again()
        outage = load.longest_outage()

    (promised,) = PROMISED.findall((ROOT / "docs" / "upgrading.md").read_text())
    print(f"\nno 200 for {outage:.1f} s, slowest answer before {max(answer.seconds for answer in before):.2f} s")
    assert schema(empty_database_url) == SCHEMA_VERSION
    assert {answer.status for answer in before} == {200}
    assert load.statuses() <= {200, 503, None}
    assert outage < float(promised)
    assert again <= {200}
    assert load.acknowledged() <= set(stored_ids(empty_database_url))
    assert sorted(stored_ids(empty_database_url)) == sorted(load.sent())
    assert is_intact(empty_database_url)
