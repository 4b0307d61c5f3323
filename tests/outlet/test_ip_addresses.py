"""Which addresses may be pushed to."""

import socket
from ipaddress import ip_network

import pytest

from webhook_service.outlet.ip_addresses import EVERYWHERE, AddressRefused, is_allowed, resolve


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0"),
        *("169.254.169.254", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1"),
        *("fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
        *("192.0.0.192", "168.63.129.16", "::ffff:168.63.129.16", "64:ff9b::a83f:8110", "64:ff9b:1::7f00:1"),
        *("fec0::1", "::127.0.0.1", "::ffff:0:127.0.0.1", "3fff::1", "5f00::1"),
    ],
)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_allowed(address, ())


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "168.63.129.17", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_allowed(address, ())


def test_a_network_that_is_named_is_allowed_and_no_other() -> None:
    allowed = [ip_network("10.1.0.0/16")]

    assert is_allowed("10.1.2.3", allowed)
    assert is_allowed("::ffff:10.1.2.3", allowed)
    assert not is_allowed("10.2.0.1", allowed)
    assert not is_allowed("169.254.169.254", allowed)
    assert is_allowed("fec0::1", [ip_network("fec0::/10")])


def test_everywhere_is_everywhere() -> None:
    assert is_allowed("127.0.0.1", EVERYWHERE)
    assert is_allowed("::1", EVERYWHERE)


def test_a_name_of_which_one_address_is_public_resolves_to_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve_to(monkeypatch, "127.0.0.1", "1.1.1.1")

    assert resolve("rebound.example", 80, ()) == [(socket.AF_INET, ("1.1.1.1", 80))]


def test_a_name_of_which_no_address_is_public_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve_to(monkeypatch, "127.0.0.1", "169.254.169.254")

    with pytest.raises(AddressRefused):
        resolve("metadata.example", 80, ())


def _resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
