"""One cluster, two nodes of the service on it, and a consumer, for all tests that break them."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ha.cluster import Cluster
from tests.ha.following import Follower
from tests.ha.network import own_network
from tests.support.processes import BIN
from tests.support.server import Server
from webhook_service.settings import Settings
from webhook_service.storage.migrate import migrate


@pytest.fixture(scope="session")
def cluster(postgresql_programs: Path) -> Iterator[Cluster]:
    """Three nodes, of which no test may leave one behind that is not whole again."""
    if os.geteuid() != 0:
        pytest.skip("only root can make network namespaces")
    if shutil.which("etcd") is None or not (BIN / "patroni").exists():
        pytest.skip("no etcd or no Patroni: 'apt-get install etcd-server', 'make install-ha'")
    with tempfile.TemporaryDirectory(prefix="webhook_service-ha-") as directory, own_network():
        Path(directory).chmod(0o755)
        with Cluster(Path(directory), postgresql_programs) as whole:
            migrate(Settings.from_env({"DATABASE_URL": whole.url}).database_url)
            yield whole


@pytest.fixture(scope="session")
def servers(cluster: Cluster) -> Iterator[tuple[Server, Server]]:
    """Two nodes of the service: they write to whichever node leads, and read from a replica while there is one."""
    settings = {"READ_DATABASE_URL": cluster.read_url, "WEB_CONCURRENCY": "1", "REQUIRE_SYNC_REPLICA": "true"}
    with Server(cluster.url, **settings) as first, Server(cluster.url, **settings) as second:
        yield first, second


@pytest.fixture(scope="session")
def follower(servers: tuple[Server, Server]) -> Iterator[Follower]:
    """A consumer that reads the feed throughout."""
    with Follower(*servers) as following:
        yield following
