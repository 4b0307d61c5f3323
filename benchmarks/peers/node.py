"""A plain Node service (``node-service/server.mjs``): one process, with one synced insert before each answer.

npm installs its Node, in the version that the lock names; the Node on which npm itself runs may be older.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.servers import SECRET, Server, free_port, running

SERVICE = Path(__file__).parent / "node-service"


class PeerMissing(Exception):
    """A peer can't be started here; the text says what is missing."""


def find_node() -> Path:
    """Returns the Node for the service, which is installed if it is not there yet; PeerMissing when that fails."""
    if found := _installed():
        return found
    try:
        subprocess.run(["npm", "ci", "--ignore-scripts"], cwd=SERVICE, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise PeerMissing("npm is needed to install Node 24: apt-get install npm") from None
    except subprocess.CalledProcessError as failed:
        raise PeerMissing(f"npm could not install Node 24: {failed.stderr.strip()}") from None
    if found := _installed():
        return found
    raise PeerMissing(f"npm brought no Node 24: it has none for {os.uname().machine}, or can't reach its registry")


def _installed() -> Path | None:
    return next(SERVICE.glob("node_modules/node-linux-*/bin/node"), None)


def version(node: Path) -> str:
    """Returns the version of a Node, without the leading v."""
    return subprocess.run([node, "--version"], check=True, capture_output=True, text=True).stdout.strip().lstrip("v")


@contextmanager
def node_service(node: Path, database: Path) -> Iterator[Server]:
    """Runs the service, which stores in a SQLite file that it makes."""
    port = free_port()
    settings = {"PORT": str(port), "DATABASE": str(database), "WEBHOOK_SECRET": SECRET}
    command = [str(node), "--disable-warning=ExperimentalWarning", str(SERVICE / "server.mjs")]
    with running(command, port, os.environ | settings) as started:
        yield started
