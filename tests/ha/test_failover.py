"""Nothing acknowledged is missing after whatever becomes of the leader, and nothing has to be restarted.

``make test-ha CYCLES=10`` does each fault so often.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import monotonic

import pytest

from tests.ha.cluster import PASSWORD, Cluster, Node
from tests.ha.following import Follower
from tests.support.load import Load
from tests.support.postgresql import administration
from tests.support.server import Server
from tests.support.stored import stored_ids
from tests.support.waiting import wait_until

pytestmark = pytest.mark.ha

CYCLES = int(os.environ.get("HA_CYCLES", "1"))
FAILOVER = 20 + 2 + 8  # seconds: the ttl and loop_wait of deploy/ha/patroni.yml, and what a busy machine adds
SLOWEST = 12.0  # seconds for an answer meanwhile, at most

Break = Callable[[Cluster, Node], object]
FAULTS: dict[str, tuple[Break, Callable[[Node], None]]] = {
    "crashed": (lambda _, node: node.crash_postgresql(), lambda _: None),
    "killed": (lambda _, node: node.kill(), Node.start),
    "frozen": (lambda _, node: node.freeze(), Node.thaw),
    "cut off": (
        lambda cluster, node: node.machine.cut_off_from([each.machine for each in cluster.others(node)]),
        lambda node: node.machine.join_again(),
    ),
    "unplugged": (lambda _, node: node.machine.unplug(), lambda node: node.machine.join_again()),
    "switched over": (lambda cluster, _: cluster.switch_over(), lambda _: None),
}
"""What happens to the leader, and what brings it back."""
IN_SHORT = ("crashed", "frozen", "switched over")


def lost(load: Load, node: Node) -> set[str]:
    """The ledger: the acknowledged messages that a node does not have."""
    return load.acknowledged() - set(stored_ids(node.url))


@pytest.mark.parametrize("cycle", range(CYCLES))
@pytest.mark.parametrize("fault", IN_SHORT if CYCLES == 1 else FAULTS)
def test_a_leader_that_is_lost_costs_503_for_a_failover_and_nothing_else(
    fault: str, cycle: int, cluster: Cluster, servers: tuple[Server, Server], follower: Follower
) -> None:
    break_it, mend = FAULTS[fault]
    workers = [server.worker_pids() for server in servers]
    old = cluster.leader()

    with Load(*servers) as load:
        load.wait_for_every_sender(200, times=5)
        began = monotonic()
        break_it(cluster, old)
        new = cluster.leader(after=old)
        promoted = monotonic() - began
        load.wait_for_every_sender(200, times=5)
        missing = lost(load, new)
        mend(old)
        cluster.wait_until_whole()
        whole = monotonic() - began
        load.wait_for_every_sender(200, times=5)
    assert missing == set()
    assert lost(load, cluster.leader()) == set()
    follower.wait_for(load.acknowledged())
    unconfirmed = set(follower.seen) - set(stored_ids(cluster.leader().url))

    print(
        f"\n{fault}: promoted after {promoted:.1f} s, no 200 for {load.longest_outage():.1f} s, "
        f"slowest answer {load.slowest():.1f} s, whole after {whole:.1f} s, {len(load.acknowledged())} acknowledged, "
        f"{len(unconfirmed)} seen so far that no leader kept"
    )
    assert unconfirmed.isdisjoint(load.acknowledged())
    assert load.statuses() <= {200, 503}
    assert load.longest_outage() < FAILOVER
    assert load.slowest() < SLOWEST
    assert [server.worker_pids() for server in servers] == workers


def test_a_node_of_the_service_that_is_killed_is_missed_by_nobody_but_its_own_clients(
    cluster: Cluster, servers: tuple[Server, Server], follower: Follower
) -> None:
    with Load(*servers) as load:
        load.wait_for_every_sender(200, times=5)
        servers[1].kill()
        load.wait_for(100, 200)
        servers[1].start()
        load.wait_for_every_sender(200, times=5)
    follower.wait_for(load.acknowledged())

    assert lost(load, cluster.leader()) == set()
    assert {answer.status for answer in load.answers if answer.sender % 2 == 0} == {200}
    assert load.statuses() == {200, None}


def test_a_replica_is_added_under_load(cluster: Cluster, servers: tuple[Server, Server], follower: Follower) -> None:
    with Load(*servers) as load:
        load.wait_for_every_sender(200, times=5)
        added = cluster.add()
        cluster.wait_until_whole()
        load.wait_for_every_sender(200, times=5)
    follower.wait_for(load.acknowledged())
    wait_until(lambda: lost(load, added) == set(), "the new replica to have every message")

    assert load.statuses() == {200}
    wait_until(lambda: follower.followed(stored_ids(cluster.leader().url)), "the feed to give all, in order")
    for server in servers:
        name_all_nodes(server, cluster)


def name_all_nodes(server: Server, cluster: Cluster) -> None:
    """Restarts a node of the service with the addresses of all databases: it would not find a leader that it lacks."""
    server.environ |= {"DATABASE_URL": cluster.url, "READ_DATABASE_URL": cluster.read_url}
    server.terminate()
    server.wait()
    server.start()
    server.wait_until_it_answers()


@pytest.mark.skipif(CYCLES == 1, reason="not in the short form")
def test_replicas_that_are_frozen_while_the_leader_is_lost_cost_503_and_no_message(
    cluster: Cluster, servers: tuple[Server, Server], follower: Follower
) -> None:
    cluster.wait_until_whole()
    old = cluster.leader()

    with Load(*servers) as load:
        load.wait_for_every_sender(200, times=5)
        with frozen(cluster.others(old)):
            wait_until(lambda: is_waiting(old), "a commit to wait for a replica")
            old.crash_postgresql()
        load.wait_for_every_sender(200, times=5)
        missing = lost(load, cluster.leader())
        cluster.wait_until_whole()
    follower.wait_for(load.acknowledged())

    assert missing == set()
    assert load.statuses() <= {200, 503}
    wait_until(lambda: follower.followed(stored_ids(cluster.leader().url)), "the feed to give all, in order")


def test_the_ledger_finds_what_asynchronous_replication_loses(cluster: Cluster, servers: tuple[Server, Server]) -> None:
    old = cluster.leader()
    cluster.configure(synchronous_mode=False, maximum_lag_on_failover=2**30)
    wait_until(lambda: synchronous_standbys(old) == "", "the leader to wait for no replica")

    with Load(*servers) as load:
        with frozen(cluster.others(old)):
            wait_until(lambda: is_alone(old), "the leader to give up its replicas")
            load.wait_for(100, 200)
            old.crash_postgresql()
        new = cluster.leader(after=old)
        load.wait_for_every_sender(200, times=5)

    print(f"\nasynchronous: {len(lost(load, new))} of {len(load.acknowledged())} acknowledged messages lost")
    assert len(lost(load, new)) >= 100


@contextmanager
def frozen(nodes: Sequence[Node]) -> Iterator[None]:
    """PostgreSQL on these nodes stands still until the block is left."""
    with ExitStack() as stack:
        for node in nodes:
            stack.enter_context(node.frozen_postgresql())
        yield


def synchronous_standbys(node: Node) -> str:
    with administration(superuser(node)) as connection:
        row = connection.execute("SHOW synchronous_standby_names").fetchone()
    assert row is not None
    return str(row[0])


def is_waiting(node: Node) -> bool:
    """Tells whether a commit waits for a replica."""
    with administration(superuser(node)) as connection:
        row = connection.execute("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'").fetchone()
    return row == (True,)


def is_alone(node: Node) -> bool:
    """Tells whether a leader has given up all its replicas, after wal_sender_timeout."""
    with administration(superuser(node)) as connection:
        row = connection.execute("SELECT count(*) FROM pg_stat_replication").fetchone()
    return row == (0,)


def superuser(node: Node) -> str:
    return f"postgresql://postgres:{PASSWORD}@{node.machine.address}/postgres"
