"""Which address a request really comes from, and whether it can be called local."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from app.auth.request import Request

logger = logging.getLogger("gateway.auth")

_LOOPBACK = "127.0.0.1"
_LONGEST_ADDRESS = 64
_MOST_WARNINGS = 256
_UNKNOWN = "unknown"

# One ``name=value`` of a Forwarded header, and what stands behind it.
_PAIR = re.compile(
    r"""[ \t]*([!#$%&'*+.^_`|~0-9a-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s",;]*))[ \t]*([;,]|\Z)""",
    re.IGNORECASE | re.ASCII,
)
_ESCAPED = re.compile(r"\\(.)")


@lru_cache(maxsize=1024)
def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """An IP literal without its zone, IPv4 in IPv6 as IPv4; ``None`` for anything else."""
    return _parse(text) if len(text) <= _LONGEST_ADDRESS else None


def network_of(address: str) -> str:
    """Whose an address is: an IPv6 host owns its whole /64."""
    if ":" not in address:
        return address
    parsed = parse_address(address)
    return f"{int(parsed) >> 64:x}::/64" if isinstance(parsed, IPv6Address) else address


def _hop(text: str) -> IPv4Address | IPv6Address | None:
    """One entry of X-Forwarded-For or Forwarded; some proxies add the port."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return parse_address(text)


def _forwarded_hops(header: str) -> list[str]:
    """What ``for`` says in each element of a Forwarded header (RFC 7239); one that tells nothing for a malformed one.

    The beginning may be the client's invention, and a quote that it opens there must not swallow what a proxy added.
    """
    hops, pairs, at, end = [], {}, 0, ";"
    while end:
        pair = _PAIR.match(header, at)
        if pair is None or pair[1].lower() in pairs:
            return [_UNKNOWN]
        name, quoted, plain, end = pair.groups()
        pairs[name.lower()] = _ESCAPED.sub(r"\1", quoted) if quoted is not None else plain
        at = pair.end()
        if end != ";":
            hops.append(pairs.get("for", _UNKNOWN))
            pairs = {}
    return hops


def _chains(headers: Mapping[str, str]) -> Iterator[list[str]]:
    """What each of the proxies' headers says of the hops, the client first. A header that came twice was joined."""
    if chain := headers.get("x-forwarded-for"):
        yield chain.split(",")
    if forwarded := headers.get("forwarded"):
        yield _forwarded_hops(forwarded)
    if real := headers.get("x-real-ip"):
        yield [real]


def _is_forwarded(request: Request) -> bool:
    for name in request.headers:  # noqa: SIM110 - any() over a generator takes twice as long, at every request
        if name.startswith(("x-forwarded", "forwarded", "x-real-ip")):
            return True
    return False


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request comes from.

    address:   of the client, seen through trusted proxies; of the peer when that can't be told.
    loopback:  the peer is on this machine.
    trusted:   the peer is one of ``gateway.trustedProxies``.
    forwarded: the request has a header that only proxies set.
    """

    address: str
    loopback: bool
    trusted: bool
    forwarded: bool

    @property
    def local(self) -> bool:
        """On this machine, with no sign of a proxy in between."""
        return self.loopback and not self.forwarded


@lru_cache(maxsize=1024)
def _peer(peer: str) -> tuple[IPv4Address | IPv6Address | None, bool, str]:
    """(address, whether it is loopback, how it is written); no address for what is none."""
    address = parse_address(peer)
    return address, address is not None and address.is_loopback, peer if address is None else str(address)


class Proxies:
    """The proxies whose word on a client's address is taken.

    trusted: ``gateway.trustedProxies``.
    """

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network]) -> None:
        self._trusted = tuple(trusted)
        self._warned: set[str] = set()

    def client(self, request: Request) -> Client:
        """Find the client behind ``request``. A unix socket's peer counts as loopback."""
        address, loopback, client = _peer(request.peer or _LOOPBACK)
        trusted = self._trusts(address)
        forwarded = _is_forwarded(request)
        if forwarded:
            if trusted:
                client = self._origin(request.headers) or client
            else:
                self._warn(client)
        return Client(client, loopback, trusted, forwarded)

    def is_near(self, peer: str) -> bool:
        """Whether many clients may stand behind this peer: it is on this machine, or a trusted proxy."""
        address, loopback, _ = _peer(peer)
        return loopback or self._trusts(address)

    @staticmethod
    def is_loopback(peer: str) -> bool:
        return _peer(peer)[1]

    def _trusts(self, address: IPv4Address | IPv6Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)

    def _origin(self, headers: Mapping[str, str]) -> str | None:
        """The client as far as proxies tell of it; None where they don't, or where their headers contradict.

        A proxy sets the header that it knows and may pass on another as the client invented it: which one that is can't
        be told, so that neither is believed.
        """
        found = {self._farthest(chain) for chain in _chains(headers)}
        # A proxy behind another may name that one in X-Real-IP.
        told = {client for client in found if not self._trusts(client)} or found
        return str(*told) if len(told) == 1 and None not in told else None

    def _farthest(self, chain: Sequence[str]) -> IPv4Address | IPv6Address | None:
        """The rightmost address that is no trusted proxy; all before it may be the client's invention."""
        client = None
        for entry in reversed(chain):
            client = _hop(entry)
            if not self._trusts(client):
                break
        return client

    def _warn(self, peer: str) -> None:
        """Say it once a peer, and no more once many peers have been named: strangers must not fill the log."""
        if peer not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(peer)
            logger.warning(
                "%s sends forwarded headers but is not trusted, so its requests are treated as a stranger's;"
                " if it is your proxy, add it to gateway.trustedProxies",
                peer,
            )
