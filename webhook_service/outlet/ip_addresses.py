"""The check of addresses to push to: public ones pass, and those in a destination's allowed networks.

A destination's host name may resolve to anything, including services beside the forwarder and the metadata service of
a cloud. So each connection is made to an address that was checked, and the name is not resolved again for it.
"""

import socket
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from webhook_service.domain.destinations import Network

EVERYWHERE: tuple[Network, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))

# Ranges that are not public although Python, or some release of it, takes them for global. IANA's registries:
# https://www.iana.org/assignments/iana-ipv4-special-registry and https://www.iana.org/assignments/iana-ipv6-special-registry
# Azure's own services: https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
_NOT_PUBLIC: tuple[Network, ...] = (
    ip_network("168.63.129.16/32"),  # Azure's own services
    ip_network("192.0.0.0/24"),  # RFC 6890, of protocols; Oracle's classic cloud has its metadata at 192.0.0.192
    ip_network("::/96"),  # RFC 4291, section 2.5.5.1: an IPv4 address in disguise, as in the next two
    ip_network("::ffff:0:0:0/96"),  # RFC 2765
    ip_network("64:ff9b:1::/48"),  # RFC 8215: NAT64 of a local network
    ip_network("3fff::/20"),  # RFC 9637: documentation
    ip_network("5f00::/16"),  # RFC 9602: segments of a network
    ip_network("fec0::/10"),  # RFC 3879: site-local
)
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
    return address.is_global and not address.is_multicast and not any(address in network for network in _NOT_PUBLIC)


def _unwrapped(address: Address) -> Address:
    """Returns the IPv4 address that an IPv6 address stands for, if any: the kernel or a gateway connects to that."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)
