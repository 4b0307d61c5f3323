"""PostgreSQL under Patroni and etcd, configured by deploy/ha as it is shipped, on machines that the tests break."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import urllib3

from tests.ha.network import Machine
from tests.support.processes import BIN, ROOT
from tests.support.waiting import wait_until

SIZE = 3
PASSWORD = "the-password-of-the-tests"
HEADERS = urllib3.make_headers(basic_auth=f"patroni:{PASSWORD}")
DEPLOY = ROOT / "deploy" / "ha"
PATIENCE = 90.0  # seconds, for a cluster to become whole
CONNECTED = re.compile(r"^etcd_network_active_peers\{.*\} 1$", re.MULTILINE)


class Node:
    """A machine with PostgreSQL under Patroni, and with etcd if it is among the first."""

    def __init__(self, number: int, directory: Path, programs: Path) -> None:
        self.name = f"db{number}"
        self.machine = Machine(number)
        self.url = f"postgresql://webhook_service:{PASSWORD}@{self.machine.address}:5432/webhook_service"
        self._has_etcd = number <= SIZE
        self._directory = directory / self.name
        self._directory.mkdir()
        shutil.chown(self._directory, "postgres", "postgres")
        self._programs = programs
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Starts what the machine starts when it is switched on."""
        if self._has_etcd:
            self._start("etcd", *self._etcd())
        self._start("patroni", BIN / "patroni", self._configuration())

    def kill(self) -> None:
        """Ends everything at once, as a power cut does."""
        self.machine.signal(signal.SIGKILL)
        for process in self._started:
            process.wait()
        self._started.clear()

    def crash_postgresql(self) -> None:
        """Kills PostgreSQL alone: Patroni and etcd go on."""
        self.machine.signal(signal.SIGKILL, self._programs)

    @contextmanager
    def frozen_postgresql(self) -> Iterator[None]:
        """PostgreSQL alone stands still until the block is left."""
        self.machine.signal(signal.SIGSTOP, self._programs)
        try:
            yield
        finally:
            self.machine.signal(signal.SIGCONT, self._programs)

    def freeze(self) -> None:
        """Has everything stand still, while the kernel goes on taking connections and bytes for it."""
        self.machine.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets everything go on."""
        self.machine.signal(signal.SIGCONT)

    def get(self, path: str) -> Any:
        """Reads from Patroni's REST API; None when it does not answer."""
        try:
            return urllib3.request("GET", f"http://{self.machine.address}:8008{path}", timeout=2, retries=False).json()
        except urllib3.exceptions.HTTPError:
            return None

    def is_connected(self) -> bool:
        """Tells whether etcd, if it runs here, is connected to all its other members."""
        if not self._has_etcd:
            return True
        try:
            told = urllib3.request("GET", f"http://{self.machine.address}:2379/metrics", timeout=2, retries=False)
        except urllib3.exceptions.HTTPError:
            return False
        return len(CONNECTED.findall(told.data.decode())) == SIZE - 1

    def remove(self) -> None:
        """Ends everything for good."""
        self.machine.remove()
        for process in self._started:
            process.wait()

    def log(self) -> str:
        """The last lines of all logs."""
        return "\n".join("".join(file.open().readlines()[-30:]) for file in self._directory.glob("*.log"))

    def _etcd(self) -> Sequence[str | Path]:
        peers = ",".join(f"db{number}=http://{address(number)}:2380" for number in range(1, SIZE + 1))
        own = self.machine.address
        return [
            *("etcd", "--name", self.name, "--data-dir", self._directory / "etcd"),
            *("--listen-peer-urls", f"http://{own}:2380", "--initial-advertise-peer-urls", f"http://{own}:2380"),
            *("--listen-client-urls", f"http://{own}:2379", "--advertise-client-urls", f"http://{own}:2379"),
            *("--initial-cluster", peers, "--initial-cluster-state", "new"),
        ]

    def _configuration(self) -> Path:
        """The shipped file, with paths of this test in it."""
        text = (DEPLOY / "patroni.yml").read_text()
        for shipped, own in (
            ("/run/postgresql", self._directory),
            ("/etc/webhook-service-ha/create-database.sh", DEPLOY / "create-database.sh"),
        ):
            assert shipped in text
            text = text.replace(shipped, str(own))
        file = self._directory / "patroni.yml"
        file.write_text(text)
        return file

    def _environment(self) -> Mapping[str, str]:
        own = self.machine.address
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self._directory),
            "PATRONI_NAME": self.name,
            "PATRONI_RESTAPI_LISTEN": f"{own}:8008",
            "PATRONI_RESTAPI_CONNECT_ADDRESS": f"{own}:8008",
            "PATRONI_RESTAPI_USERNAME": "patroni",
            "PATRONI_RESTAPI_PASSWORD": PASSWORD,
            "PATRONI_POSTGRESQL_LISTEN": f"{own}:5432",
            "PATRONI_POSTGRESQL_CONNECT_ADDRESS": f"{own}:5432",
            "PATRONI_POSTGRESQL_DATA_DIR": str(self._directory / "data"),
            "PATRONI_POSTGRESQL_BIN_DIR": str(self._programs),
            "PATRONI_POSTGRESQL_PGPASS": str(self._directory / "pgpass"),
            "PATRONI_ETCD3_HOSTS": ",".join(f"{address(number)}:2379" for number in range(1, SIZE + 1)),
            "PATRONI_SUPERUSER_USERNAME": "postgres",
            "PATRONI_SUPERUSER_PASSWORD": PASSWORD,
            "PATRONI_REPLICATION_USERNAME": "replicator",
            "PATRONI_REPLICATION_PASSWORD": PASSWORD,
            "PATRONI_REWIND_USERNAME": "rewinder",
            "PATRONI_REWIND_PASSWORD": PASSWORD,
            "WEBHOOK_SERVICE_PASSWORD": PASSWORD,
        }

    def _start(self, name: str, *command: str | Path) -> None:
        with (self._directory / f"{name}.log").open("ab") as log:
            self._started.append(
                subprocess.Popen(
                    self.machine.command(*command),
                    env=self._environment(),
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )


class Cluster:
    """Three nodes; as a context, from whole to gone."""

    def __init__(self, directory: Path, programs: Path) -> None:
        self._directory = directory
        self._programs = programs
        self.nodes: list[Node] = []

    def __enter__(self) -> Self:
        try:
            for _ in range(SIZE):
                self.add()
            self.wait_until_whole()
        except BaseException:
            print(*(node.log() for node in self.nodes), sep="\n")
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for node in self.nodes:
            node.remove()

    @property
    def url(self) -> str:
        """What DATABASE_URL has to be."""
        hosts = ",".join(f"{node.machine.address}:5432" for node in self.nodes)
        return f"postgresql://webhook_service:{PASSWORD}@{hosts}/webhook_service"

    @property
    def read_url(self) -> str:
        """What READ_DATABASE_URL has to be."""
        return f"{self.url}?target_session_attrs=prefer-standby"

    def add(self) -> Node:
        """Starts one more node."""
        node = Node(len(self.nodes) + 1, self._directory, self._programs)
        self.nodes.append(node)
        node.start()
        return node

    def members(self, node: Node) -> list[Mapping[str, Any]]:
        """The members as Patroni on a node sees them; none when that does not answer."""
        state = node.get("/cluster") or {}
        return list(state.get("members", ()))

    def leader(self, *, after: Node | None = None) -> Node:
        """The node that says of itself that it is the leader, once there is one: another than ``after``."""
        found: list[Node] = []

        def is_there() -> bool:
            asked = self.others(after) if after else self.nodes
            found[:] = [node for node in asked if (node.get("/patroni") or {}).get("role") == "primary"]
            return len(found) == 1

        wait_until(is_there, "one leader", PATIENCE)
        return found[0]

    def others(self, node: Node) -> list[Node]:
        """All nodes but one."""
        return [other for other in self.nodes if other is not node]

    def wait_until_whole(self) -> None:
        """Returns once there is a leader, all others stream from it, it waits for one of them, and etcd is whole."""
        wait_until(self._is_whole, "the cluster to be whole", PATIENCE)

    def switch_over(self) -> Node:
        """Has another node become the leader in good order, and returns that.

        A leader that is new may not wait for that node yet. Then it refuses, and is asked again, as by hand.
        """
        old = self.leader()
        wanted = {"leader": old.name, "candidate": self.others(old)[0].name}
        wait_until(lambda: self._ask(old, "POST", "/switchover", wanted).status == 200, "a switchover", PATIENCE)
        return self.leader(after=old)

    def configure(self, **settings: object) -> None:
        """Changes the configuration that all nodes share."""
        answer = self._ask(self.leader(), "PATCH", "/config", settings)
        assert answer.status == 200, answer.data

    def _ask(self, node: Node, method: str, path: str, content: object) -> urllib3.BaseHTTPResponse:
        url = f"http://{node.machine.address}:8008{path}"
        return urllib3.request(method, url, json=content, headers=HEADERS, timeout=60, retries=False)

    def _is_whole(self) -> bool:
        states = [self.members(node) for node in self.nodes]
        is_streaming = all(len(state) == len(self.nodes) and _is_whole(state) for state in states)
        return is_streaming and all(node.is_connected() for node in self.nodes)


def address(number: int) -> str:
    """The address of the machine with this number."""
    return f"10.77.0.{number}"


def _is_whole(members: Sequence[Mapping[str, Any]]) -> bool:
    by_role = sorted((str(member["role"]), str(member["state"])) for member in members)
    return by_role == [("leader", "running"), *[("quorum_standby", "streaming")] * (len(members) - 1)]
