"""A PostgreSQL server for the time of a benchmark, which syncs everything, as is its default."""

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DATABASE_URL = "BENCH_POSTGRES_URL"


@contextmanager
def postgresql(folder: Path) -> Iterator[str | None]:
    """Gives the URL of a database in ``folder``, which is made, and then empty, if it is not there yet.

    If BENCH_POSTGRES_URL is set, gives that instead; None when neither it nor the server's programs are there.
    """
    if os.environ.get(DATABASE_URL):
        yield os.environ[DATABASE_URL]
        return
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))
    if not installed:
        yield None
        return
    binaries = installed[-1]
    folder.mkdir(exist_ok=True)
    # The server refuses to run as root, and its account needs access to its folder.
    account: dict[str, Any] = {}
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        folder.parent.chmod(0o755)
        account = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    data = folder / "data"
    if not data.exists():
        as_utf8 = ("--encoding=UTF8", "--locale=C")
        _run([binaries / "initdb", "-D", data, "-U", "postgres", "--auth=trust", *as_utf8], account)
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c shared_buffers=512MB"
    _run([binaries / "pg_ctl", "start", "-w", "-D", data, "-l", folder / "log", "-o", options], account)
    try:
        yield f"postgresql://postgres@/postgres?host={folder}"
    finally:
        _run([binaries / "pg_ctl", "stop", "-w", "-D", data, "-m", "fast"], account)


def _run(command: list[Any], account: dict[str, Any]) -> None:
    subprocess.run(command, check=True, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **account)
