"""Finds the users behind connections from this machine, in Linux's tables of TCP sockets.

https://www.kernel.org/doc/Documentation/networking/proc_net_tcp.txt
"""

import sys
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from wsgiref.types import WSGIEnvironment

IS_SUPPORTED = sys.platform == "linux"

# A client on IPv4 may reach a server on IPv6, by a mapped address. A hardened unit hides /proc/net, which links to the
# same, but no process from itself (ProcSubset=pid).
_TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_NO_INODE = b"0"
_WORD = 8  # hex digits of 32 bits, which are in the byte order of the machine


def users_of_peer(environ: WSGIEnvironment) -> frozenset[int]:
    """Returns the users whose sockets may be the other end of a request's connection; empty when there is none.

    There is more than one only if several users connect from the same address and port, to different addresses of this
    machine. A socket that its process has closed belongs to no user, although the table says 0.
    """
    original = environ.get("werkzeug.proxy_fix.orig", environ)
    try:
        address = _plain(original["REMOTE_ADDR"])
        port, server_port = int(environ["REMOTE_PORT"]), int(environ["SERVER_PORT"])
    except (KeyError, ValueError):
        return frozenset()
    return frozenset(user for owner, user in _sockets(port, server_port) if owner == address)


def _sockets(port: int, remote_port: int) -> Iterator[tuple[IPv4Address | IPv6Address, int]]:
    """Yields the local address and the user of each open socket between two ports."""
    local_end, remote_end = b":%04X" % port, b":%04X" % remote_port
    for table in _TABLES:
        with suppress(FileNotFoundError), table.open("rb") as lines:  # a kernel without IPv6 has no tcp6
            for line in lines:
                if local_end not in line:
                    continue
                _, local, remote, _, _, _, _, user, _, inode, *_ = line.split()
                if local.endswith(local_end) and remote.endswith(remote_end) and inode != _NO_INODE:
                    yield _from_hex(local.partition(b":")[0].decode()), int(user)


def _from_hex(digits: str) -> IPv4Address | IPv6Address:
    words = (bytes.fromhex(digits[at : at + _WORD]) for at in range(0, len(digits), _WORD))
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return _plain(str(ip_address(packed)))


def _plain(address: str) -> IPv4Address | IPv6Address:
    parsed = ip_address(address)
    return parsed.ipv4_mapped or parsed if isinstance(parsed, IPv6Address) else parsed
