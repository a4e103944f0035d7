"""Addresses: which of them are the public internet's."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.addresses import is_public

PRIVATE_4 = ["10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"]


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "93.184.216.34", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0",
     "9.255.255.255", "223.255.255.255", "2606:4700:4700::1111", "2a00:1450:4001::64", "2001:4860:4860::8888",
     "64:ff9b::8.8.8.8"],
)  # fmt: skip
def test_addresses_of_the_internet(address: str) -> None:
    """Public unicast addresses are public, up to the edges of the ranges that aren't."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.1",
        "127.255.255.255", "168.63.129.16", "169.254.169.254", "172.16.0.0", "172.31.255.255", "192.0.0.1", "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255",
        "240.0.0.1", "255.255.255.255",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "ff0e::1", "100::1",
        "2001:db8::1", "2001::1", "2001:10::1", "3fff::1", "4000::1", "5f00::1", "2606:4700::1%1", "64:ff9b:1::8.8.8.8",
        "::ffff:8.8.8.8", "::8.8.8.8", "2002:808:808::1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe",
        "", "localhost", "1.2.3", "2130706433", "0x7f000001", "0177.0.0.1", "8.8.8.8 ", "::g",
    ],
)  # fmt: skip
def test_all_others(address: str) -> None:
    """Local, private, shared, reserved, multicast, embedding and ill-written addresses are not public."""
    assert not is_public(address)


def private() -> st.SearchStrategy[IPv4Address]:
    networks = st.sampled_from([IPv4Network(network) for network in PRIVATE_4])
    return networks.flatmap(
        lambda network: st.integers(int(network.network_address), int(network.broadcast_address)).map(IPv4Address)
    )


@given(private(), st.integers(0, 0xFFFF_FFFF_FFFF))
def test_a_private_address_stays_private_however_it_is_embedded(address: IPv4Address, noise: int) -> None:
    """No IPv6 form that carries a private IPv4 address is public: mapped, compatible, NAT64, 6to4, Teredo."""
    number = int(address)
    forms = {
        "plain": str(address),
        "mapped": f"::ffff:{address}",
        "mapped, in hexadecimal": str(IPv6Address(0xFFFF << 32 | number)),
        "translated": str(IPv6Address(0xFFFF << 48 | number)),
        "compatible": str(IPv6Address(number)),
        "NAT64": str(IPv6Address((0x64_FF9B << 96) | number)),
        "local NAT64": str(IPv6Address((0x64_FF9B_0001 << 80) | (noise << 32) | number)),
        "6to4": str(IPv6Address((0x2002 << 112) | (number << 80) | noise)),
        "Teredo, as its server": str(IPv6Address((0x2001 << 112) | (number << 64) | noise)),
        "Teredo, as its client": str(IPv6Address((0x2001 << 112) | (noise << 32) | (number ^ 0xFFFFFFFF))),
    }
    assert [name for name, form in forms.items() if is_public(form)] == []
