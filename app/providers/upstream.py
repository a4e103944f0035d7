"""HTTP to a provider: pooled connections, a bound for each phase, lines as they come, unpacked where it packed them.

geventhttpclient's pool and parser do the work. Its client class is not used: it rebuilds every header for every call,
and its pool keeps as many idle connections as busy ones and checks them with ``select``, which ends at 1024 files.
"""

from __future__ import annotations

import base64
import logging
import select
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import gevent.socket
from geventhttpclient.connectionpool import ConnectionPool, SSLConnectionPool
from geventhttpclient.response import HTTPParseError, HTTPSocketPoolResponse
from greenlet import greenlet as Greenlet

from app.concurrency.slices import give_way
from app.config.settings import MAX_ANSWER_BYTES
from app.errors import GatewayError, ProviderError, ProviderFault, ProviderTimeout, shortage
from app.idle import IdleTimer
from app.providers.encoding import UnknownEncoding, unpacked
from app.readiness import ready_for

log = logging.getLogger("gateway.providers")

CONNECT_TIMEOUT = 10.0
MAX_CONNECTIONS = 10_000
MAX_IDLE = 128
# Bytes of an answer's headers, early hints and the like included; of one line.
MAX_HEAD = 256 * 1024
MAX_LINE = 4 * 1024 * 1024
MAX_ERROR_BODY = 64 * 1024
ERROR_BODY_TIMEOUT = 5.0
READ_SIZE = 16 * 1024
# Bytes that are read before others get a turn: where there is always something to read, no read waits.
TURN = 16 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
PATH_SAFE = "/%:@!$&'()*+,;=~"
# Letters; a header's value is a secret only when it is longer.
SHORT = 6
# Headers whose values may stand in a message: a date in it would be masked otherwise.
PUBLIC_HEADERS = frozenset({"anthropic-version", "anthropic-beta"})


class _Bounds:
    """What both pools change: how an idle connection is looked at, how many are kept, how long connecting may take."""

    def _connect_socket(self, sock: Any, address: Any) -> Any:
        # As a whole. The socket's own timeout begins anew with every byte of a proxy or a handshake.
        with gevent.Timeout(CONNECT_TIMEOUT, TimeoutError("connecting took too long")):
            return super()._connect_socket(sock, address)  # type: ignore[misc]

    def _is_socket_alive(self, sock: Any) -> bool:
        if sock is None or sock.fileno() < 0:
            return False
        # An idle connection that has something to read was closed by the provider, or is out of step.
        return not ready_for(sock.fileno(), select.POLLIN)

    def return_socket(self, sock: Any) -> None:
        if self._socket_queue.qsize() >= MAX_IDLE:  # type: ignore[attr-defined]
            self.release_socket(sock)  # type: ignore[attr-defined]
        else:
            super().return_socket(sock)  # type: ignore[misc]


class _PlainPool(_Bounds, ConnectionPool):
    pass


class _TlsPool(_Bounds, SSLConnectionPool):
    pass


class _TooLong(Exception):
    """``str`` says what there was too much of."""


class _Response(HTTPSocketPoolResponse):
    """``most``: bytes that may come in all, what chunks and trailers add included."""

    waiting = False
    most = MAX_HEAD
    _received = 0
    _next_turn = TURN

    def feed(self, data: bytes) -> None:  # type: ignore[override]
        # All that is read comes through here; the headers do while this is being made.
        super().feed(data)
        self._received = received = self._received + len(data)
        if received >= self._next_turn:
            if received > self.most:
                raise _TooLong(f"more headers, or packing, than the {self.most} bytes that an answer may have")
            self._next_turn = received + TURN
            give_way()

    def _on_message_complete(self) -> None:
        if self.get_code() < 200:
            # Early hints and the like: the answer is still to come, on this very connection.
            self.message_complete = True
        else:
            super()._on_message_complete()

    def blocks(self, before_waiting: Callable[[], object] | None = None) -> Iterator[bytes]:
        """The body as it comes: whatever one read brought."""
        while True:
            if self._body_buffer:
                block = bytes(self._body_buffer)
                self._body_buffer.clear()
                yield block
            if self.message_complete:
                return
            if before_waiting is not None:
                before_waiting()
            self.waiting = True
            assert self._sock is not None
            received = self._sock.recv(READ_SIZE)
            self.waiting = False
            self.feed(received)


class Answer:
    """A provider's response whose headers have come. Close it: an unfinished one takes its connection along."""

    def __init__(
        self, response: _Response, sock: gevent.socket.socket, provider: str, timeout: float, max_bytes: int
    ) -> None:
        self._response = response
        self._sock = sock
        self._provider = provider
        self._max_bytes = max_bytes
        response.most = MAX_HEAD + max_bytes
        self._timeout = self._patience = timeout
        self._silence: IdleTimer | None = None
        self.status: int = response.status_code

    def header(self, name: str) -> str | None:
        value = self._response.get(name)
        return value[0] if isinstance(value, list) else value

    def lines(self) -> Iterator[list[bytes]]:
        """The body's lines without their line ends (LF, CR LF or CR), as they come: all that a read has ended.

        Raises ProviderTimeout when nothing comes for the provider's ``timeoutSeconds``, ProviderError when it is cut,
        ProviderFault for a content encoding that can't be read, and for more than may come.
        """
        self._sock.settimeout(None)
        try:
            blocks = unpacked(self.header("Content-Encoding"), self._response.blocks(self._before_waiting))
            yield from _lines(blocks, self._provider, self._max_bytes)
        except _TooLong as much:
            raise _too_long(self._provider, much) from None
        except TimeoutError:
            raise ProviderTimeout(f"provider {self._provider} sent nothing for {self._timeout:g} s") from None
        except UnknownEncoding as error:
            raise ProviderFault(
                f"provider {self._provider} answered in an encoding that can't be read: {error}"
            ) from None
        except (OSError, HTTPParseError, zlib.error, EOFError) as error:
            raise _broken(self._provider, "was cut", error) from error
        finally:
            if self._silence is not None:
                self._silence.stop()
                self._silence = None  # it knows this answer, and who reads it

    def body(self) -> bytes:
        """The beginning of an error's body, up to 64 KiB; what can't be read is left out."""
        read = bytearray()
        self._sock.settimeout(None)
        try:
            with gevent.Timeout(ERROR_BODY_TIMEOUT, TimeoutError):
                for block in unpacked(self.header("Content-Encoding"), self._response.blocks()):
                    read += block
                    if len(read) >= MAX_ERROR_BODY:
                        break
        except (OSError, HTTPParseError, zlib.error, EOFError, UnknownEncoding, _TooLong) as error:
            log.debug("provider %s: error body cut after %d bytes: %s", self._provider, len(read), error)
        return bytes(read)

    def _before_waiting(self) -> None:
        # One timer for the whole answer: the socket's own timeout would start one for every token. None for an answer
        # that has come whole.
        if self._silence is None:
            reader = gevent.getcurrent()
            self._silence = IdleTimer(self._timeout, lambda: self._on_silence(reader))
        elif self._patience != self._timeout:
            self._silence.restart(self._timeout)
        else:
            self._silence.touch()
        self._patience = self._timeout

    def _on_silence(self, reader: Greenlet) -> None:
        # In the hub. A reader that waits for something else than the provider must not be hit there.
        if self._response.waiting:
            reader.throw(TimeoutError())
        elif self._silence is not None:
            self._silence.restart(self._timeout)

    def hurry(self, seconds: float) -> None:
        """Wait at most so long for each further line: all that matters has come."""
        self._timeout = seconds

    def close(self) -> None:
        self._response.release()


def _lines(blocks: Iterator[bytes], provider: str, max_bytes: int) -> Iterator[list[bytes]]:
    """Lines, whichever of the three line ends they have. A long one is put together once, when its end has come."""
    parts: list[bytes] = []
    size = total = 0
    after_cr = False
    mark = BYTE_ORDER_MARK
    for block in blocks:
        total += len(block)
        if total > max_bytes:
            raise _TooLong(f"an answer of more than {max_bytes} bytes (models.providers.{provider}.maxAnswerBytes)")
        if after_cr and block.startswith(b"\n"):
            block = block[1:]  # noqa: PLW2901 - the other half of a line's end
        after_cr = block.endswith(b"\r")
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")  # noqa: PLW2901
        parts.append(block)
        size += len(block)
        if b"\n" in block:
            *lines, rest = b"".join(parts).split(b"\n")
            if mark:
                lines[0], mark = lines[0].removeprefix(mark), b""
            yield lines
            parts, size = [rest], len(rest)
        if size > MAX_LINE:
            raise _TooLong(f"a line of more than {MAX_LINE} bytes")
    if rest := b"".join(parts):
        yield [rest.removeprefix(mark)]


class Upstream:
    """The connections to one provider. ``path`` is that of its URL, as configured.

    base_url: ``http`` or ``https``; a proxy named by ``HTTP_PROXY``, ``HTTPS_PROXY``, ``NO_PROXY`` is honoured.
    headers:  sent with each call. What they hold is taken for secret: see ``secrets``.
    timeout:  seconds that may pass without a byte, the wait for the first one included.
    max_answer_bytes: what one answer may bring, unpacked.
    direct:   never through a proxy.

    ``refused`` holds the names of request fields that the server turned out not to take.
    """

    def __init__(
        self,
        provider: str,
        base_url: str,
        headers: Mapping[str, str],
        timeout: float,
        *,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        direct: bool = False,
    ) -> None:
        url = urlsplit(base_url)
        if url.hostname is None:
            raise ValueError(f"no host in {base_url!r}")
        self.provider = provider
        self.secrets = _secrets(headers)
        self.refused: set[str] = set()
        self.path = url.path.rstrip("/")
        self._timeout = timeout
        self._max_answer_bytes = max_answer_bytes
        tls = url.scheme == "https"
        port = url.port or (443 if tls else 80)
        host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
        authority = f"{host}:{port}" if url.port else host
        self._path = quote(self.path, safe=PATH_SAFE)

        connect_to: dict[str, Any] = {"connection_host": url.hostname, "connection_port": port}
        proxy_url = None if direct or _bypassed(url.hostname, port) else getproxies().get(url.scheme)
        proxy_lines = []
        if proxy_url:
            proxy = urlsplit(proxy_url if "//" in proxy_url else f"http://{proxy_url}")
            connect_to = {
                "connection_host": proxy.hostname,
                "connection_port": proxy.port or 8080,
                "use_proxy": True,
                "proxy_user": unquote(proxy.username) if proxy.username else None,
                "proxy_password": unquote(proxy.password) if proxy.password else None,
            }
            if not tls:
                self._path = f"http://{authority}{self._path}"
                if proxy.username or proxy.password:
                    user = f"{unquote(proxy.username or '')}:{unquote(proxy.password or '')}"
                    proxy_lines = [f"Proxy-Authorization: Basic {base64.b64encode(user.encode()).decode()}"]
        self._pool = (_TlsPool if tls else _PlainPool)(
            request_host=url.hostname,
            request_port=port,
            size=MAX_CONNECTIONS,
            connection_timeout=CONNECT_TIMEOUT,
            network_timeout=timeout,
            **connect_to,
        )
        lines = [f"Host: {authority}", "Accept: text/event-stream", "Content-Type: application/json"]
        if not any(name.lower() == "accept-encoding" for name in headers):
            # Packed, tokens would wait in the provider until a block of them is full.
            lines.append("Accept-Encoding: identity")
        lines += [f"{name}: {value}" for name, value in headers.items()] + proxy_lines
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError(f"provider {provider}: a header holds a line break")
        self._head = ("\r\n".join(lines) + "\r\nContent-Length: ").encode("latin-1")

    def post(self, path: str, body: bytes) -> Answer:
        """Send JSON and wait for the answer's headers. Raises ProviderError, ProviderTimeout."""
        request = b"POST %b HTTP/1.1\r\n%b%d\r\n\r\n%b" % (
            (self._path + path).encode("latin-1"),
            self._head,
            len(body),
            body,
        )
        try:
            sock = self._pool.get_socket()
        except TimeoutError:
            raise ProviderTimeout(
                f"provider {self.provider} did not accept a connection in {CONNECT_TIMEOUT:g} s"
            ) from None
        except gevent.socket.gaierror as error:
            raise _broken(self.provider, "is unreachable: its host name was not found", error) from error
        except (OSError, RuntimeError, UnicodeError) as error:  # the last for a name that no resolver takes
            raise _broken(self.provider, "is unreachable", error) from error
        try:
            sock.settimeout(self._timeout)
            sock.sendall(request)
        except BaseException as error:
            self._pool.release_socket(sock)
            if isinstance(error, TimeoutError):
                raise ProviderTimeout(f"provider {self.provider} read nothing for {self._timeout:g} s") from None
            if isinstance(error, OSError):
                raise _broken(self.provider, "was cut", error) from error
            raise
        try:
            # From here on the response owns the connection, whatever happens.
            response = _Response(sock, self._pool, block_size=READ_SIZE, method="POST")
        except TimeoutError:
            raise ProviderTimeout(f"provider {self.provider} did not answer in {self._timeout:g} s") from None
        except _TooLong as much:
            raise _too_long(self.provider, much) from None
        except (OSError, HTTPParseError) as error:
            raise _broken(self.provider, "closed the connection without an answer", error) from error
        return Answer(response, sock, self.provider, self._timeout, self._max_answer_bytes)

    def close(self) -> None:
        """Close the idle connections; those in use end with their answers."""
        self._pool.close()


def _bypassed(host: str, port: int) -> bool:
    """Whether ``NO_PROXY`` names the host, alone or with its port."""
    return bool(proxy_bypass(host) or proxy_bypass(f"{host}:{port}"))


def _secrets(headers: Mapping[str, str]) -> tuple[str, ...]:
    """What no message may show, longest first. Words as short as ``ollama`` guard nothing."""
    found = {value.removeprefix("Bearer ") for name, value in headers.items() if name.lower() not in PUBLIC_HEADERS}
    return tuple(sorted((secret for secret in found if len(secret) > SHORT), key=len, reverse=True))


def _too_long(provider: str, much: _TooLong) -> ProviderFault:
    log.warning("provider %s sent %s", provider, much)
    return ProviderFault(f"provider {provider} sent {much}")


def _broken(provider: str, what: str, error: Exception) -> GatewayError:
    if (own := shortage(error)) is not None:
        log.error("provider %s was not asked: %s", provider, error)
        return own
    log.warning("provider %s %s: %s", provider, what, error)
    return ProviderError(f"provider {provider} {what}")
