"""The addresses of this machine's interfaces, as they are at the moment: whoever connects to one ends up here."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path

from gevent import monkey

# The kernel's tables of routes: https://docs.kernel.org/filesystems/proc.html. Those that end here include the second
# addresses of an interface, and whole networks that were given to this machine. A process's own, as /proc may show
# nothing else.
IPV4 = Path("/proc/self/net/fib_trie")
IPV6 = Path("/proc/self/net/ipv6_route")
_LOCAL_4 = re.compile(r"\|-- (\S+)\n +/(\d+) host LOCAL")
_RTF_LOCAL = 0x80000000

_socket = monkey.get_original("socket", "socket")

Address = IPv4Address | IPv6Address


def is_known() -> bool:
    """Whether the system tells its addresses."""
    return IPV4.exists()


def local_networks() -> Iterator[IPv4Network | IPv6Network]:
    """What is delivered to this machine, loopback included. Asks the system."""
    if IPV4.exists():
        for address, length in _LOCAL_4.findall(IPV4.read_text()):
            yield IPv4Network((address, int(length)), strict=False)
    if IPV6.exists():
        for line in IPV6.read_text().splitlines():
            network, length, *_, flags, _ = line.split()
            if int(flags, 16) & _RTF_LOCAL:
                yield IPv6Network((bytes.fromhex(network), int(length, 16)), strict=False)


def is_own(address: str) -> bool:
    """Whether a connection to a numeric address stays on this machine. Asks the system, so call it in a thread."""
    place = ip_address(address)
    return any(place in network for network in local_networks()) or _comes_back(place)


def _comes_back(place: Address) -> bool:
    """What the kernel says, where the tables don't: it calls from the address that is called. Nothing is sent."""
    family = socket.AF_INET6 if place.version == 6 else socket.AF_INET
    try:
        with _socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(place), 9))
            return bool(ip_address(probe.getsockname()[0].partition("%")[0]) == place)
    except OSError:  # no way there, so that nothing can be fetched either
        return False
