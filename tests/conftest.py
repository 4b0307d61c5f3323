"""Databases and servers for every test that needs one."""

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import make_url

from tests.support.app import application
from tests.support.postgresql import HOW_TO_ENABLE, fresh_database, programs, shared_server, stop_shared_server
from tests.support.server import Server
from webhook_service.configuration.database_url import parse_url
from webhook_service.storage.database import Database
from webhook_service.storage.migrate import migrate

SESSION_DIRECTORY = "WEBHOOK_SERVICE_TEST_SESSION"
DATABASES = ("sqlite", "postgresql")
MEMORY = Path("/dev/shm")  # a file system in memory, on Linux
ROOM_NEEDED = 4 * 2**30  # bytes; a run of the whole suite takes a third of that
LONGEST = ("fuzz", "faults", "newcomer")


def pytest_configure(config: pytest.Config) -> None:
    """Names a folder that all processes of this session share, and lets those that it starts be interrupted.

    A shell that starts the suite in the background has it ignore Ctrl-C, which every process would inherit.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        directory = tempfile.mkdtemp(prefix="tests-", dir=_fast_directory())
        Path(directory).chmod(0o711)  # PostgreSQL, which does not run as root, has folders in it
        os.environ[SESSION_DIRECTORY] = os.environ["TMPDIR"] = tempfile.tempdir = directory


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest tests first, so that no process is left with them when the others have nothing to do."""
    items.sort(key=lambda item: item.path.parent.name not in LONGEST)


def pytest_collection_finish() -> None:
    """Spares the garbage collector the modules and tests, which are there to the end."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stops what the session started, once none of its processes needs it."""
    if not hasattr(config, "workerinput"):
        directory = Path(os.environ.pop(SESSION_DIRECTORY))
        stop_shared_server(directory)
        shutil.rmtree(directory)


def _fast_directory() -> Path | None:
    """Returns a folder in memory, if there is one with enough room; None for the usual one, or that of TMPDIR.

    Thousands of small databases wait for the disk by turns otherwise. What the tests kill is processes, and what those
    have written stays in memory as well as on a disk.
    """
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM_NEEDED
    return MEMORY if has_room and "TMPDIR" not in os.environ else None


@pytest.fixture(scope="session")
def postgresql_server() -> str:
    """The URL of a PostgreSQL server on which databases may be made."""
    url = os.environ.get("TEST_POSTGRES_URL") or shared_server(Path(os.environ[SESSION_DIRECTORY]))
    if url is None:
        pytest.skip(HOW_TO_ENABLE)
    return url


@pytest.fixture(scope="session")
def postgresql_programs() -> Path:
    """The folder of ``pg_dump``, ``psql`` and the like."""
    folder = programs(Path(os.environ[SESSION_DIRECTORY]))
    if folder is None:
        pytest.skip(HOW_TO_ENABLE)
    return folder


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> Iterator[str]:
    """The name of a migrated database."""
    with fresh_database(postgresql_server) as url:
        migrate(parse_url(url))
        yield make_url(url).database or ""


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file."""
    path = tmp_path_factory.mktemp("template") / "app.db"
    migrate(parse_url(f"sqlite:///{path}"))
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated SQLite database."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'app.db')}"


@pytest.fixture
def postgresql_url(postgresql_server: str, postgresql_template: str) -> Iterator[str]:
    """A migrated PostgreSQL database."""
    with fresh_database(postgresql_server, postgresql_template) as url:
        yield url


@pytest.fixture
def empty_postgresql_url(postgresql_server: str) -> Iterator[str]:
    """A PostgreSQL database that no migration has seen."""
    with fresh_database(postgresql_server) as url:
        yield url


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated database of each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=DATABASES)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind that no migration has seen; the SQLite one is not there yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'data' / 'app.db'}"
    url: str = request.getfixturevalue("empty_postgresql_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated database of each kind, open."""
    opened = Database(parse_url(database_url), pool_size=8)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def shared_sqlite_url(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One migrated SQLite database for the tests that don't mind each other's messages."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path_factory.mktemp('shared') / 'app.db')}"


@pytest.fixture(scope="session")
def shared_postgresql_url(postgresql_server: str, postgresql_template: str) -> Iterator[str]:
    """One migrated PostgreSQL database for the same."""
    with fresh_database(postgresql_server, postgresql_template) as url:
        yield url


@pytest.fixture(scope="session", params=DATABASES)
def shared_database_url(request: pytest.FixtureRequest) -> str:
    """One migrated database of each kind for the same."""
    url: str = request.getfixturevalue(f"shared_{request.param}_url")
    return url


@pytest.fixture(scope="session")
def server(shared_database_url: str) -> Iterator[Server]:
    """A server on each kind of database, for the tests that neither stop it nor mind each other's messages."""
    with Server(shared_database_url) as running:
        yield running


@pytest.fixture
def client(database_url: str) -> Iterator[FlaskClient]:
    """An application in this process, on each kind of database."""
    with application(database_url) as made:
        yield made


@pytest.fixture
def sqlite_client(sqlite_url: str) -> Iterator[FlaskClient]:
    """An application in this process, for what no database has a part in."""
    with application(sqlite_url) as made:
        yield made
