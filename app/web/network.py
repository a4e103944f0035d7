"""The network as a fetch sees it: look a name up, connect to an address, speak TLS. Replaceable as a whole."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from functools import cache
from socket import AF_INET, AF_INET6, SOCK_STREAM
from typing import NamedTuple

import certifi
import gevent
import gevent.socket
import gevent.ssl

from app.concurrency.threads import aside
from app.web import interfaces
from app.web.addresses import embedded
from app.web.names import Resolver

# Seconds, for the look-up of a name too.
CONNECT_TIMEOUT = 5.0


class Network(NamedTuple):
    """resolve: the addresses of a host, numeric; raises OSError. Asked once for each request that is sent.

    connect: a connected socket to exactly that address and port; raises OSError. tls: the context of https.
    is_own: whether one of these numeric addresses is this machine's.
    """

    resolve: Callable[[str, int], Sequence[str]]
    connect: Callable[[str, int], gevent.socket.socket]
    tls: Callable[[], ssl.SSLContext]
    is_own: Callable[[Sequence[str]], bool]


def _resolve(host: str, port: int) -> Sequence[str]:
    found = _resolver().getaddrinfo(host, port, type=SOCK_STREAM)
    return list(dict.fromkeys(address[0] for *_, address in found))


@cache
def _resolver() -> Resolver:
    # Not the hub's own, which looks up the providers' names: those of foreign pages must not hold them up.
    return Resolver(patience=CONNECT_TIMEOUT)


def _is_own(addresses: Sequence[str]) -> bool:
    # Each time anew: interfaces come and go.
    return aside(_any_own, addresses)


def _any_own(addresses: Sequence[str]) -> bool:
    return any(interfaces.is_own(embedded(address)) for address in addresses)


def _connect(address: str, port: int) -> gevent.socket.socket:
    sock = gevent.socket.socket(AF_INET6 if ":" in address else AF_INET, SOCK_STREAM)
    try:
        sock.settimeout(CONNECT_TIMEOUT)
        sock.connect((address, port))
        sock.settimeout(None)
    except BaseException:
        sock.close()
        raise
    return sock


@cache
def _tls() -> ssl.SSLContext:
    # Not create_default_context: unless the process is patched, its sockets would hold up the hub.
    context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certifi.where())
    return context


INTERNET = Network(_resolve, _connect, _tls, _is_own)
