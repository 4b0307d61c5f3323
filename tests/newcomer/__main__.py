"""Runs the shell blocks of the README and of the tour as they are written: from nothing to a restored backup.

A clean clone of the last commit, an empty home, and pip's cache, which is all that is taken from this machine. Prints
the seconds that each step took, and exits with 1 when one fails.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
URL = "http://127.0.0.1:8000"
PATIENCE = 300  # seconds for the first installation
SERVING = "make run"
PAGES = ("README.md", "docs/tour.md")


def blocks(page: str) -> list[str]:
    """The shell blocks of a page, in order, but those that start the tests."""
    found: list[str] = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    return [block for block in found if block.strip() != "make test"]


def environment(home: Path) -> dict[str, str]:
    """An environment in which nothing is set but what finds programs and pip's cache."""
    cache = subprocess.run([sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True, check=True)
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    path = os.pathsep.join(folder for folder in os.environ["PATH"].split(os.pathsep) if ".venv" not in folder)
    return {"PIP_CACHE_DIR": cache.stdout.strip(), **pip, "PATH": path, "HOME": str(home), "LANG": "C.UTF-8"}


def wait_until_ready(server: subprocess.Popen[bytes]) -> None:
    """Waits for the server that a block has started."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(f"the server ended with {server.returncode}")
        try:
            with urllib.request.urlopen(f"{URL}/health/ready", timeout=5):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    sys.exit("the server is not ready")


def run(block: str, folder: Path, environ: dict[str, str]) -> subprocess.Popen[bytes] | None:
    """Runs one block; gives the server, where the block is what starts it."""
    print(f"\n{block}", end="", flush=True)
    began = time.monotonic()
    server = None
    if block.strip() == SERVING:
        command, quiet = ["make", "run"], subprocess.DEVNULL
        server = subprocess.Popen(command, cwd=folder, env=environ, stdout=quiet, start_new_session=True)
        wait_until_ready(server)
    else:
        done = subprocess.run(["sh", "-ec", block], cwd=folder, env=environ, timeout=PATIENCE, check=False)
        if done.returncode:
            sys.exit(f"exit status {done.returncode}")
    print(f"# {time.monotonic() - began:.1f} s", flush=True)
    return server


def stop(server: subprocess.Popen[bytes] | None) -> None:
    """Stops a server as Ctrl-C does."""
    if server is not None:
        os.killpg(server.pid, signal.SIGINT)
        server.wait()


def main() -> None:
    """Goes through the pages. What is done right before the service is started again is done while it is stopped."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="webhook_service-newcomer-") as scratch:
        home, clone = Path(scratch) / "home", Path(scratch) / "webhook_service"
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        found = [block for page in PAGES for block in blocks((clone / page).read_text())]
        server = None
        try:
            for block, following in zip(found, [*found[1:], ""], strict=True):
                if following.strip() == SERVING:
                    stop(server)
                    server = None
                server = run(block, clone, environment(home)) or server
        finally:
            stop(server)
    print(f"\nAll of it: {time.monotonic() - began:.1f} s")


main()
