"""The shell blocks of the pages: each is run as it is written, by a test of its subject or here."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.deliveries import SECRET, payload, to_bytes
from tests.support.processes import BIN, ROOT, environment
from tests.support.server import Server
from tests.support.stored import stored_ids

MACHINE = ROOT / "tests" / "newcomer" / "machine" / "enter.sh"
DOCS = ROOT / "docs"
NEEDED = ("unshare", "runuser", "adduser", "openssl", "nginx", "pg_lsclusters")

# Which file runs the blocks of a page.
RUN_BY = {
    "consumers.md": "tests/blueprints/test_consumers.py",  # but for its single calls, which the contract has too
    "feed.md": "tests/blueprints/test_feed.py",
    "operations.md": "tests/e2e/test_restore.py",
    "providers/native.md": "tests/newcomer/test_pages.py",
    "server.md": "tests/newcomer/test_pages.py",
    "tour.md": "tests/newcomer/__main__.py",
    "upgrading.md": "tests/newcomer/test_pages.py",
}

# Why nothing runs the blocks of a page as they are written.
NOT_RUN = {
    "destinations.md": "they name receivers elsewhere, or need containers; tests/outlet runs the commands",
    "high-availability.md": "they set up three machines; tests/ha runs what they install",
    "litestream.md": "they name an object store elsewhere",
    "monitoring.md": "they install Prometheus; tests/deploy has its own tools check the files",
}


def blocks(page: str) -> list[str]:
    """The shell blocks of a page, in order."""
    return re.findall(r"^ *```sh\n(.*?)```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)


def test_the_blocks_of_every_page_are_run_or_it_is_said_why_not() -> None:
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert {page for page in pages if blocks(page)} == RUN_BY.keys() | NOT_RUN.keys()
    assert all((ROOT / file).exists() for file in RUN_BY.values())


def run(block: str, folder: Path, environ: dict[str, str]) -> str:
    """Runs a block in a folder, with the commands of this environment at hand; returns what it prints."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", block], cwd=folder, env={**environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_delivery_is_made_by_curl_as_the_page_of_providers_says(sqlite_url: str, tmp_path: Path) -> None:
    (block,) = blocks("providers/native.md")

    with Server(sqlite_url, WEB_CONCURRENCY="1") as server:
        body = to_bytes(payload()).decode()
        here = block.replace("http://127.0.0.1:8000", server.url)
        printed = run(here, tmp_path, {"body": body, "WEBHOOK_SECRET": SECRET})

    assert printed == '{"status":"ok"}'


def test_the_original_is_taken_over_as_the_page_of_upgrading_says(tmp_path: Path) -> None:
    convert, take_in = blocks("upgrading.md")
    for name in ("app.db", "original.db"):
        with closing(sqlite3.connect(tmp_path / name)) as original, original:
            original.execute(
                "CREATE TABLE messages (message_id TEXT PRIMARY KEY, from_msisdn TEXT, to_msisdn TEXT, ts TEXT,"
                " text TEXT, created_at TEXT)"
            )
            row = (name, "+4915", "+4930", "2025-01-15T12:00:00Z", "Grüße", "2025-01-15T12:00:01Z")
            original.execute("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)", row)
    url = f"sqlite:///{tmp_path / 'app.db'}"
    environ = environment(url)

    run(convert, tmp_path, environ)
    run(take_in, tmp_path, environ)

    assert set(stored_ids(url)) == {"app.db", "original.db"}


def can_be_another_machine() -> bool:
    """Tells if this process may mount, and make namespaces."""
    if os.geteuid() != 0 or not all(map(shutil.which, NEEDED)):
        return False
    probe = ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


@pytest.mark.timeout(600)
@pytest.mark.skipif(
    not can_be_another_machine(), reason="needs root that may make namespaces, and Debian with nginx and PostgreSQL"
)
def test_a_server_is_set_up_and_upgraded_as_its_page_says(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    packages = "echo /opt/packages >$(ls -d /opt/webhook-service/venv/lib/python*/site-packages)/packages.pth\n"
    script = tmp_path / "script"
    first, *rest = blocks("server.md")
    script.write_text("set -x\n" + first + packages + "".join(rest))
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    done = subprocess.run(
        [
            *("unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"),
            *("sh", str(MACHINE), str(scratch), str(script)),
        ],
        env={
            "PATH": os.environ["PATH"],
            "PYTHON_HOME": sys.base_prefix,
            "PYTHON_PATH": sysconfig.get_path("purelib"),
            "CHECKOUT": str(ROOT),
            "WHEEL": str(wheel),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    assert '200 {"status":"ok"}' in done.stdout
    assert done.stdout.count('{"status":"ok"}') >= 3
    assert "Successfully uninstalled webhook_service" in done.stdout  # although the wheel's version is the same
    assert not Path("/etc/webhook-service").exists()
