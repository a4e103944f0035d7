"""One WebSocket, from the side of the caller: text out, text in."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import orjson
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

# Seconds until the other side must have accepted; and in which something must be heard: a gateway ticks every 15.
OPEN_WITHIN = 10.0
HEARD_WITHIN = 60.0
# Characters of one message, and bytes of the answer that refuses the WebSocket.
MAX_MESSAGE = 64 * 1024 * 1024
MAX_REFUSAL = 64 * 1024


class Unreachable(Exception):
    """There is no WebSocket to be had; the message says why, in a few words."""


class Closed(Exception):
    """The connection is over. code: the WebSocket's, None where it was cut."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(reason or (f"closed with code {code}" if code else "the connection was cut"))
        self.code = code


class Wire:
    """An open WebSocket. One thread may receive while others send.

    url: ``ws://…`` or ``wss://…``. Raises Unreachable.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._ws = WSConnection(ConnectionType.CLIENT)
        # For the state of the protocol, and because TLS can't be read and written at once.
        self._lock = threading.Lock()
        self._heard: list[Event] = []
        self._message: list[str] = []
        self._size = 0
        try:
            self._socket = _connect(parts.hostname or "", parts.port, tls=parts.scheme == "wss")
        except ssl.SSLCertVerificationError as error:
            raise Unreachable(f"its certificate is not trusted: {error.verify_message}") from None
        except ssl.SSLError as error:
            raise Unreachable(f"no TLS there ({error.reason or 'no handshake'})") from None
        except TimeoutError:
            raise Unreachable(f"no answer within {OPEN_WITHIN:g} s") from None
        except OSError as error:
            raise Unreachable((error.strerror or str(error)).lower()) from None
        try:
            self._open(Request(host=parts.netloc, target=parts.path or "/"))
        except BaseException:
            self._socket.close()
            raise
        self._socket.settimeout(HEARD_WITHIN)

    def send(self, text: str) -> None:
        """Raises Closed."""
        with self._lock:
            try:
                self._socket.sendall(self._ws.send(TextMessage(data=text)))
            except (OSError, ProtocolError):
                raise Closed(None, "") from None

    def receive(self) -> str:
        """The next message. Raises Closed."""
        while True:
            for event in self._events():
                if isinstance(event, CloseConnection):
                    self._answer(event.response())
                    raise Closed(event.code, event.reason or "")
                if isinstance(event, Ping):
                    self._answer(event.response())
                elif isinstance(event, BytesMessage):
                    raise Closed(None, "it sent binary data, which this protocol doesn't have")
                elif isinstance(event, TextMessage):
                    self._message.append(event.data)
                    self._size += len(event.data)
                    if self._size > MAX_MESSAGE:
                        raise Closed(None, f"it sent a message of more than {MAX_MESSAGE:,} characters")
                    if event.message_finished:
                        text, self._message, self._size = "".join(self._message), [], 0
                        return text
            self._read()

    def close(self) -> None:
        """Say goodbye, whether it is heard or not. A thread that receives is woken."""
        with self._lock:
            try:
                self._socket.sendall(self._ws.send(CloseConnection(code=1000)))
                self._socket.shutdown(socket.SHUT_RDWR)
            except (OSError, ProtocolError):
                # Closed by the other side already.
                return

    def drop(self) -> None:
        """Give the socket back. For the thread that receives, when it won't any more."""
        self._socket.close()

    def _open(self, request: Request) -> None:
        refused, said = 0, b""
        try:
            self._socket.sendall(self._ws.send(request))
            while True:
                for event in self._events():
                    if isinstance(event, AcceptConnection):
                        return
                    if isinstance(event, RejectConnection):
                        refused = event.status_code
                    elif isinstance(event, RejectData):
                        said += event.data
                        if event.body_finished or len(said) > MAX_REFUSAL:
                            raise Unreachable(_refusal(refused, said))
                data = self._socket.recv(65_536)
                if not data:
                    raise Unreachable(_refusal(refused, said) if refused else "it closed the connection")
                self._ws.receive_data(data)
        except ProtocolError:
            raise Unreachable("what answers there doesn't speak HTTP") from None
        except TimeoutError:
            raise Unreachable(f"no answer within {OPEN_WITHIN:g} s") from None
        except OSError as error:
            raise Unreachable((error.strerror or str(error)).lower()) from None

    def _events(self) -> Iterator[Event]:
        """What was read and not looked at yet."""
        with self._lock:
            self._heard += self._ws.events()
        while self._heard:
            yield self._heard.pop(0)

    def _read(self) -> None:
        """Wait for more. Raises Closed."""
        pending = isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()
        try:
            if not pending and not select.select([self._socket], [], [], HEARD_WITHIN)[0]:
                raise Closed(None, f"nothing was heard for {HEARD_WITHIN:g} s")
            with self._lock:
                data = self._socket.recv(65_536)
                self._ws.receive_data(data or None)
        except (OSError, ValueError, ProtocolError):  # ValueError: closed here meanwhile
            raise Closed(None, "") from None

    def _answer(self, event: Event) -> None:
        with self._lock:
            try:
                self._socket.sendall(self._ws.send(event))
            except (OSError, ProtocolError):
                raise Closed(None, "") from None


def _connect(host: str, port: int | None, *, tls: bool) -> socket.socket:
    """Raises OSError and its kinds."""
    plain = socket.create_connection((host, port or (443 if tls else 80)), OPEN_WITHIN)
    if not tls:
        return plain
    try:
        return ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


def _refusal(status: int, body: bytes) -> str:
    """What stands in the gateway's envelope; of another server only the status is told."""
    try:
        said = orjson.loads(body)["error"]["message"]
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return f"it answered HTTP {status} and no WebSocket"
    return str(said)[:500]
