"""``make up-ha`` in a copy of the repository: the container with the leader is killed while deliveries come in."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from uuid import uuid4

import pytest
import urllib3

from tests.support.deliveries import payload, signed, to_bytes
from tests.support.processes import ROOT
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.containers, pytest.mark.ha, pytest.mark.timeout(900)]

NOT_DEPLOYED = shutil.ignore_patterns(".git", ".venv", ".env", ".*_cache", "__pycache__", "data", "tests")
NODES = ("db1", "db2", "db3")
SENDERS = 4
FAILOVER = 120.0  # seconds, on a machine that has ten containers to run on two cores


class Stack:
    """The deployment, with a project name, secrets and a published port of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environ = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": f"webhook-test-{uuid4().hex[:8]}",
            "PUBLISH": "127.0.0.1:",
        }
        self._http = urllib3.PoolManager(retries=False, timeout=40, maxsize=SENDERS)
        self._url = ""

    def up(self) -> None:
        self._run("make", "--silent", "up-ha")
        self._url = f"http://{self.compose('port', 'nginx', '8080').strip()}"

    def remove(self) -> None:
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")

    def compose(self, *arguments: str) -> str:
        return self._run("docker", "compose", "-f", "deploy/ha/compose.yml", *arguments)

    def members(self, node: str) -> list[dict[str, str]]:
        """The members of the cluster, as a node sees them."""
        list_members = ("patronictl", "-c", "/etc/webhook-service-ha/patroni.yml", "list", "--format", "json")
        members: list[dict[str, str]] = json.loads(self.compose("exec", "-T", node, *list_members))
        return members

    def leader(self, node: str) -> str | None:
        """The leader, as a node sees it."""
        leaders = [each["Member"] for each in self.members(node) if each["Role"] == "Leader"]
        return leaders[0] if leaders else None

    def deliver(self, content: dict[str, object]) -> int:
        raw = to_bytes(content)
        return self._http.request("POST", f"{self._url}/webhook", headers=signed(raw, self._secret), body=raw).status

    def stored(self, node: str) -> set[str]:
        """The IDs of the messages on a node."""
        query = ("psql", "-h", "/run/postgresql", "-d", "webhook_service", "-Atc", "SELECT message_id FROM messages")
        return set(self.compose("exec", "-T", node, *query).split())

    @property
    def _secret(self) -> str:
        lines = (self._folder / "deploy" / "ha" / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)["WEBHOOK_SECRET"]

    def _run(self, *command: str) -> str:
        ran = subprocess.run(command, cwd=self._folder, env=self._environ, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{command} failed:\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """The deployment, up."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker with its Compose plugin")
    deployed = Stack(shutil.copytree(ROOT, tmp_path / "webhook_service", ignore=NOT_DEPLOYED))
    try:
        deployed.up()
        yield deployed
    finally:
        deployed.remove()


def test_the_loss_of_the_leaders_container_loses_no_message(stack: Stack) -> None:
    acknowledged: set[str] = set()
    statuses: set[int] = set()
    is_over = Event()

    def send() -> None:
        while not is_over.is_set():
            content = payload()
            status = stack.deliver(content)
            statuses.add(status)
            if status == 200:
                acknowledged.add(content["message_id"])
            is_over.wait(0.02 if status == 200 else 0.2)

    with ThreadPoolExecutor(SENDERS) as threads:
        sending = [threads.submit(send) for _ in range(SENDERS)]
        try:
            wait_until(lambda: len(acknowledged) > 100, "deliveries to be acknowledged")
            old = stack.leader("db1")
            assert old is not None
            stack.compose("kill", old)
            asked = next(node for node in NODES if node != old)
            wait_until(lambda: stack.leader(asked) not in {None, old}, "another leader", FAILOVER)
            before = len(acknowledged)
            wait_until(lambda: len(acknowledged) > before + 100, "deliveries to be acknowledged again")
        finally:
            is_over.set()
    for each in sending:
        each.result()

    assert acknowledged <= stack.stored(stack.leader(asked) or "")
    assert statuses <= {200, 503}
