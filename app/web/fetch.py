"""Fetch what stands at a public web address, whoever chose it: never from this machine or network, never for long."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPException
from ssl import SSLCertVerificationError

import gevent
import gevent.socket

from app.web.addresses import is_public
from app.web.answer import ENCODINGS, Answer
from app.web.location import FetchError, Location
from app.web.network import INTERNET, Network

__all__ = ["FetchError", "Fetched", "fetch"]

USER_AGENT = "openclaw-gateway"
# How many addresses of one host are tried.
MAX_TRIES = 3
# Characters of a Content-Type.
MAX_TYPE = 200
_REDIRECTS = (301, 302, 303, 307, 308)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", re.I)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was found.

    url:          where in the end, after redirects; ASCII.
    status:       of HTTP, whatever it is.
    content_type: as the server says it, perhaps empty. body: unpacked. truncated: the body has more than ``max_bytes``.
    """

    url: str
    status: int
    content_type: str
    body: bytes
    truncated: bool

    @property
    def media_type(self) -> str:
        """Such as ``text/html``, in lower case; empty when the server says none."""
        return self.content_type.partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """The text encoding that the server names."""
        named = _CHARSET.search(self.content_type)
        return named[1] if named else None


def fetch(
    url: str,
    *,
    max_bytes: int,
    timeout: float,
    max_redirects: int,
    accept: str = "*/*",
    hosts_allowed: Callable[[str], bool] | None = None,
    network: Network = INTERNET,
) -> Fetched:
    """GET a URL over http or https, without cookies, credentials or proxies.

    Each host is looked up once, must have public addresses alone and none of this machine's, and one of those is what
    is connected to: a name that changes its mind gains nothing. The same holds for every redirect.

    max_bytes: of the body, unpacked. timeout: seconds for everything. hosts_allowed: asked with each host, a redirect's
    too, as in ``Location.host``. accept: the header. Raises FetchError.
    """
    patience = gevent.Timeout(timeout)
    try:
        with patience:
            place = Location.of(url)
            for _ in range(max_redirects + 1):
                if hosts_allowed is not None and not hosts_allowed(place.host):
                    raise FetchError(f"{place.host} is not among the hosts that are allowed")
                found = _ask(place, accept, max_bytes, network)
                if isinstance(found, Fetched):
                    return found
                place = found
            raise FetchError(f"{url[:200]} redirects more than {max_redirects} times")
    except gevent.Timeout as over:
        if over is not patience:
            raise
        raise FetchError(f"{url[:200]} did not answer in full within {timeout:g} s") from None


def _ask(place: Location, accept: str, max_bytes: int, network: Network) -> Fetched | Location:
    """One request: what it found, or where it was sent to."""
    try:
        with closing(_connected(place, network)) as sock:
            sock.sendall(
                f"GET {place.target} HTTP/1.1\r\nHost: {place.authority}\r\nUser-Agent: {USER_AGENT}\r\n"
                f"Accept: {accept}\r\nAccept-Encoding: {ENCODINGS}\r\nConnection: close\r\n\r\n".encode("ascii")
            )
            answer = Answer(sock)
            target = answer.header("location")
            if answer.status in _REDIRECTS and target:
                return place.redirected(target)
            body, truncated = answer.body(max_bytes)
    except SSLCertVerificationError as error:
        raise FetchError(f"the certificate of {place.host} is not valid: {error.verify_message}") from None
    except (OSError, HTTPException, ValueError) as error:  # the last for numbers of HTTP that are none
        raise FetchError(f"{place.host} broke off, or does not speak {place.scheme}") from error
    return Fetched(place.url, answer.status, answer.header("content-type")[:MAX_TYPE], body, truncated)


def _connected(place: Location, network: Network) -> gevent.socket.socket:
    try:
        addresses = network.resolve(place.host, place.port)
    except OSError:
        addresses = ()
    if not addresses:
        raise FetchError(f"no host named {place.host} was found")
    if not all(map(is_public, addresses)):
        raise FetchError(f"{place.host} resolves to an address that is not public")
    if network.is_own(addresses):
        raise FetchError(f"{place.host} resolves to an address of this machine")
    for address in addresses[:MAX_TRIES]:
        try:
            sock = network.connect(address, place.port)
        except OSError:
            continue
        if place.scheme == "http":
            return sock
        try:
            return network.tls().wrap_socket(sock, server_hostname=place.host)
        except BaseException:
            sock.close()
            raise
    raise FetchError(f"{place.host} does not accept connections at port {place.port}")
