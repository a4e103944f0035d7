"""The network as a fetch sees it: look a name up, connect to an address, speak TLS. Replaceable as a whole."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from functools import cache
from socket import AF_INET, AF_INET6, SOCK_STREAM
from typing import NamedTuple

import certifi
import gevent.socket
import gevent.ssl
from gevent import monkey
from gevent.threadpool import ThreadPool

from app.web import interfaces
from app.web.addresses import embedded

# Threads. The hub's own pool also looks up the providers' names, which slow names of foreign pages must not hold up.
LOOKUPS = 4
# Seconds.
CONNECT_TIMEOUT = 5.0

_getaddrinfo = monkey.get_original("socket", "getaddrinfo")


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
    found: list[str] | OSError = _lookups().apply(_looked_up, (host, port))
    if isinstance(found, OSError):
        raise found
    return found


@cache
def _lookups() -> ThreadPool:
    return ThreadPool(LOOKUPS)


def _looked_up(host: str, port: int) -> list[str] | OSError:
    try:
        found = _getaddrinfo(host, port, type=SOCK_STREAM)
    except OSError as error:
        return error  # what is raised in a thread of gevent's is printed
    return list(dict.fromkeys(address[0] for *_, address in found))


def _is_own(addresses: Sequence[str]) -> bool:
    # Each time anew: interfaces come and go.
    found: bool = _lookups().apply(_any_own, (addresses,))
    return found


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
