"""Whose the other end of a connection is."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from wsgiref.types import WSGIEnvironment

import pytest

from tests.support.processes import ROOT
from tests.support.waiting import wait_until
from webhook_service.web.peers import users_of_peer

ME = {os.geteuid()}
# A /proc of its own without what is of no process, as ProcSubset=pid of the shipped unit gives the service.
HARDENED = (
    *("unshare", "--user", "--map-current-user", "--keep-caps", "--mount", "--pid", "--fork"),
    *("sh", "-c", 'mount -t proc -o subset=pid proc /proc && exec "$@"', "sh"),
)
FIND_ME = """
import socket
from tests.web.test_peers import ME, as_request
from webhook_service.web.peers import users_of_peer

with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
    accepted, _ = listener.accept()
    assert users_of_peer(as_request(accepted)) == ME
"""


@pytest.fixture(params=["127.0.0.1", "::1", "::"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    address: str = request.param
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family, dualstack_ipv6=address == "::") as made:
        yield made


def addresses(listener: socket.socket) -> tuple[str, ...]:
    own = listener.getsockname()[0]
    return ("127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1") if own == "::" else (own,)


def as_request(accepted: socket.socket) -> WSGIEnvironment:
    address, port, *_ = accepted.getpeername()
    return {"REMOTE_ADDR": address, "REMOTE_PORT": str(port), "SERVER_PORT": str(accepted.getsockname()[1])}


def test_a_peer_of_this_user_is_found_over_every_kind_of_address(listener: socket.socket) -> None:
    for address in addresses(listener):
        with socket.create_connection((address, listener.getsockname()[1])), closing(listener.accept()[0]) as accepted:
            assert users_of_peer(as_request(accepted)) == ME


def test_a_peer_that_sends_no_more_is_still_found(listener: socket.socket) -> None:
    client = socket.create_connection((addresses(listener)[0], listener.getsockname()[1]))
    with client, closing(listener.accept()[0]) as accepted:
        client.shutdown(socket.SHUT_WR)
        assert accepted.recv(1) == b""

        assert users_of_peer(as_request(accepted)) == ME


def test_a_peer_that_has_gone_is_nobody_although_the_table_says_root(listener: socket.socket) -> None:
    client = socket.create_connection((addresses(listener)[0], listener.getsockname()[1]))
    with closing(listener.accept()[0]) as accepted:
        client.close()
        assert accepted.recv(1) == b""

        wait_until(lambda: not users_of_peer(as_request(accepted)), "the socket to be nobody's")


@pytest.mark.parametrize(
    "changed",
    [
        {"REMOTE_ADDR": "127.0.0.9"},
        {"REMOTE_PORT": "1"},
        {"SERVER_PORT": "1"},
        {"REMOTE_PORT": ""},
        {"REMOTE_ADDR": ""},
    ],
)
def test_any_other_connection_is_not_taken_for_it(changed: dict[str, str]) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()),
        closing(listener.accept()[0]) as accepted,
    ):
        assert users_of_peer({**as_request(accepted), **changed}) == frozenset()


def test_a_request_that_came_over_no_socket_is_nobodys() -> None:
    assert users_of_peer({"REMOTE_ADDR": "127.0.0.1"}) == frozenset()


def test_a_peer_is_found_where_the_unit_hides_all_of_proc_but_processes() -> None:
    if subprocess.run([*HARDENED, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces for whoever runs this")

    subprocess.run([*HARDENED, sys.executable, "-c", FIND_ME], cwd=ROOT, check=True)
