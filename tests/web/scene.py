"""A web of the test's own: names and public addresses that lead to one server on this machine."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import gevent
import gevent.socket
import gevent.ssl
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gevent.server import StreamServer

from app.web.network import Network

PUBLIC = "93.184.216.34"
PATIENCE = 20.0

Blocks = Iterator[bytes]


def reply(body: bytes, *headers: str, status: str = "200 OK", kind: str = "text/plain") -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def sent_to(target: str, status: str = "302 Found") -> bytes:
    return f"HTTP/1.1 {status}\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()


class Web:
    """Every public address and port is this server.

    answers: by path, bytes or what gives an iterator of blocks for each request; else 404. requests: heads.
    names: the addresses of each host; a list of lists is given out one after another.
    own: addresses of the machine that fetches. looked_up, connected: what was asked of the network, in order.
    """

    def __init__(self) -> None:
        self.answers: dict[str, bytes | Callable[[], Blocks]] = {}
        self.names: dict[str, Any] = {"public.example": [PUBLIC]}
        self.own: set[str] = set()
        self.requests: list[str] = []
        self.looked_up: list[str] = []
        self.connected: list[tuple[str, int]] = []
        self.authority = Authority()
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._port = 0

    def __enter__(self) -> Self:
        self._server.start()
        self._port = self._server.server_port
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(timeout=0)

    def network(self) -> Network:
        return Network(self._resolve, self._connect, self.authority.trusting, self._is_own)

    def _resolve(self, host: str, _port: int) -> Sequence[str]:
        self.looked_up.append(host)
        found = self.names.get(host)
        if found is None:
            with suppress(ValueError):
                return [str(ipaddress.ip_address(host))]
            raise OSError(f"no name {host}")
        return found.pop(0) if isinstance(found[0], list) else found

    def _is_own(self, addresses: Sequence[str]) -> bool:
        return not self.own.isdisjoint(addresses)

    def _connect(self, address: str, port: int) -> gevent.socket.socket:
        self.connected.append((address, port))
        return gevent.socket.create_connection(("127.0.0.1", self._port))

    def _serve(self, sock: Any, _peer: Any) -> None:
        with suppress(OSError):
            if self.connected[-1][1] in (443, 8443):
                sock = self.authority.context.wrap_socket(sock, server_side=True)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                received = sock.recv(65536)
                if not received:
                    return
                head += received
            self.requests.append(head.decode())
            answer = self.answers.get(head.split()[1].decode(), reply(b"nothing here", status="404 Not Found"))
            for block in [answer] if isinstance(answer, bytes) else answer():
                sock.sendall(block)
        with suppress(OSError):
            sock.close()


class Authority:
    """A certificate for ``public.example`` that signs itself, made when it is first needed."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._context: ssl.SSLContext | None = None
        self._pem = b""

    def trusting(self) -> ssl.SSLContext:
        """A client's context that trusts it alone."""
        _ = self.context
        context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self._pem.decode())
        return context

    def keep_in(self, folder: Path) -> None:
        self._folder = folder

    @property
    def context(self) -> ssl.SSLContext:
        if self._context is None:
            assert self._folder is not None
            key = ec.generate_private_key(ec.SECP256R1())
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "public.example")])
            now = datetime.datetime.now(datetime.UTC)
            certificate = (
                x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(days=1))
                .not_valid_after(now + datetime.timedelta(days=1))
                .add_extension(x509.SubjectAlternativeName([x509.DNSName("public.example")]), critical=False)
                .sign(key, hashes.SHA256())
            )
            self._pem = certificate.public_bytes(serialization.Encoding.PEM)
            both = self._folder / "certificate.pem"
            both.write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
                + self._pem
            )
            self._context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(both)
        return self._context


@contextmanager
def web_in(folder: Path) -> Iterator[Web]:
    """A web that is gone afterwards, and a test that does not wait for ever."""
    with gevent.Timeout(PATIENCE), Web() as web:
        web.authority.keep_in(folder)
        yield web
