"""``make up-ha`` in a copy of the repository: the container with the leader is killed while deliveries come in."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from urllib.parse import unquote
from uuid import uuid4

import pytest
import urllib3

from tests.containers.stack import NOT_DEPLOYED
from tests.support.deliveries import payload, signed, to_bytes
from tests.support.processes import ROOT
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.containers, pytest.mark.ha, pytest.mark.timeout(900)]

NODES = ("db1", "db2", "db3")
SENDERS = 4
FAILOVER = 120.0  # seconds, on a machine that has ten containers to run on two cores


class Cluster:
    """The deployment, with a project name, secrets and a published port of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environ = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": f"webhook-test-{uuid4().hex[:8]}",
            "PUBLISH": "127.0.0.1:",
        }
        self._http = urllib3.PoolManager(retries=False, timeout=40, maxsize=SENDERS)
        self._url = self._secret = ""

    def up(self) -> None:
        self._run("make", "--silent", "up-ha")
        self._url = f"http://{self.compose('port', 'nginx', '8080').strip()}"
        self._secret = self.secrets()["WEBHOOK_SECRET"]

    def remove(self) -> None:
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")

    def compose(self, *arguments: str) -> str:
        return self._run("docker", "compose", "-f", "deploy/ha/compose.yml", *arguments)

    def members(self, node: str) -> list[dict[str, str]]:
        """The members of the cluster, as a node sees them."""
        list_members = ("patronictl", "-c", "/etc/webhook-service-ha", "list", "--format", "json")
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

    def secrets(self) -> dict[str, str]:
        """The secrets that were written, by name."""
        lines = (self._folder / "deploy" / "ha" / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def configuration(self) -> str:
        """Returns all that ``docker inspect`` shows of the containers."""
        return self._run("docker", "inspect", *self.compose("ps", "--all", "--quiet").split())

    def _run(self, *command: str) -> str:
        ran = subprocess.run(command, cwd=self._folder, env=self._environ, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{command} failed:\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout


@pytest.fixture(scope="module")
def cluster(_docker: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The deployment, up."""
    folder = tmp_path_factory.mktemp("deployment") / "webhook_service"
    deployed = Cluster(shutil.copytree(ROOT, folder, ignore=NOT_DEPLOYED))
    try:
        deployed.up()
        yield deployed
    finally:
        deployed.remove()


def test_no_secret_is_in_the_environment_or_the_arguments_of_a_process(cluster: Cluster) -> None:
    secrets = cluster.secrets().values()
    processes = [
        cluster.compose("exec", "-T", service, "sh", "-c", "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>&1 || true")
        for service in ("app", *NODES)
    ]

    assert len(set(secrets)) == 7
    assert all("PATH=" in process for process in processes)
    assert not [secret for secret in secrets if secret in cluster.configuration() or secret in "".join(processes)]


def test_the_service_is_given_no_password_of_the_databases_but_its_own(cluster: Cluster) -> None:
    given = unquote(cluster.compose("exec", "-T", "app", "sh", "-c", "cat /run/secrets/*"))

    found = {name for name, secret in cluster.secrets().items() if secret in given}
    assert found == {"WEBHOOK_SECRET", "API_TOKEN", "POSTGRES_PASSWORD"}


def test_the_loss_of_the_leaders_container_loses_no_message(cluster: Cluster) -> None:
    acknowledged: set[str] = set()
    statuses: set[int] = set()
    is_over = Event()

    def send() -> None:
        while not is_over.is_set():
            content = payload()
            status = cluster.deliver(content)
            statuses.add(status)
            if status == 200:
                acknowledged.add(content["message_id"])
            is_over.wait(0.02 if status == 200 else 0.2)

    with ThreadPoolExecutor(SENDERS) as threads:
        sending = [threads.submit(send) for _ in range(SENDERS)]
        try:
            wait_until(lambda: len(acknowledged) > 100, "deliveries to be acknowledged")
            old = cluster.leader("db1")
            assert old is not None
            cluster.compose("kill", old)
            asked = next(node for node in NODES if node != old)
            wait_until(lambda: cluster.leader(asked) not in {None, old}, "another leader", FAILOVER)
            before = len(acknowledged)
            wait_until(lambda: len(acknowledged) > before + 100, "deliveries to be acknowledged again")
        finally:
            is_over.set()
    for each in sending:
        each.result()

    assert acknowledged <= cluster.stored(cluster.leader(asked) or "")
    assert statuses <= {200, 503}
