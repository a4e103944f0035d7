"""Which addresses are the public internet's, and none of this machine's or its network's."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network

# Not the interpreter's is_global: it changed between patch releases, and takes 6to4 and multicast for global.
# https://www.iana.org/assignments/iana-ipv4-special-registry
_NOT_PUBLIC_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; also the metadata of some clouds
        "127.0.0.0/8",
        "168.63.129.16/32",  # a public address in name only: the services of an Azure host for its machines
        "169.254.0.0/16",  # link-local; the metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# All that is handed out as global unicast; outside of it are loopback, mapped and compatible IPv4, local and multicast.
# https://www.iana.org/assignments/ipv6-unicast-address-assignments
_GLOBAL_6 = IPv6Network("2000::/3")
# https://www.iana.org/assignments/iana-ipv6-special-registry
_NOT_PUBLIC_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocols, among them Teredo, which embeds an IPv4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4, which embeds an IPv4 address
        "3fff::/20",
    )
)
# Where a network has IPv6 alone, its resolver gives every IPv4 host such an address: RFC 6052.
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an address, as a resolver writes it, is a public unicast one. What is no address isn't."""
    try:
        if ":" not in address:
            return _is_public_4(IPv4Address(address))
        found = IPv6Address(address)
    except AddressValueError:
        return False
    if found.scope_id is not None:
        return False
    if found in _NAT64:
        return _is_public_4(IPv4Address(int(found) & 0xFFFFFFFF))
    return found in _GLOBAL_6 and not any(found in network for network in _NOT_PUBLIC_6)


def embedded(address: str) -> str:
    """The IPv4 address that a public IPv6 address stands for, where it does; else the address itself."""
    if ":" in address and (found := IPv6Address(address)) in _NAT64:
        return str(IPv4Address(int(found) & 0xFFFFFFFF))
    return address


def _is_public_4(address: IPv4Address) -> bool:
    return not any(address in network for network in _NOT_PUBLIC_4)
