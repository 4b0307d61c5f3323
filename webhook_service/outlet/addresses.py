"""The check of addresses to push to: public ones pass, and those in a destination's allowed networks.

A destination's host name may resolve to anything, including services beside the forwarder and the metadata service of
a cloud. So each connection is made to an address that was checked, and the name is not resolved again for it.
"""

import socket
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from webhook_service.domain.destinations import Network

EVERYWHERE: tuple[Network, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address stands in the last 32 bits

Address = IPv4Address | IPv6Address
Resolved = tuple[socket.AddressFamily, tuple[str, int]]


class AddressRefused(OSError):
    """A host name resolves only to addresses that may not be pushed to."""


def resolve(host: str, port: int, allowed: Sequence[Network]) -> list[Resolved]:
    """Resolves a host name to those of its addresses that may be connected to, in the resolver's order.

    Raises ``socket.gaierror`` when the name has no address, AddressRefused when none of its addresses is allowed.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses: list[Resolved] = [(family, (str(address[0]), port)) for family, _, _, _, address in found]
    good = [(family, address) for family, address in addresses if is_allowed(address[0], allowed)]
    if not good:
        raise AddressRefused("the address is not public, and no network that is allowed has it")
    return good


def is_allowed(text: str, allowed: Iterable[Network]) -> bool:
    """Tells whether an address is public, or in one of the ``allowed`` networks."""
    address = _unwrapped(ip_address(text))
    if any(address in network for network in allowed if network.version == address.version):
        return True
    return address.is_global and not address.is_multicast


def _unwrapped(address: Address) -> Address:
    """Returns the IPv4 address that an IPv6 address stands for, if any: the kernel or a gateway connects to that."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)
