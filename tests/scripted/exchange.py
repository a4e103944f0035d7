import select
import socket
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

from tests.scripted.renderings import RENDERINGS

GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR
HOLD_POLL_MS = 20


@dataclass(eq=False)
class Received:
    path: str
    headers: Message
    raw: bytes
    body: dict[str, Any]
    connection_id: int
    at: float = field(default_factory=time.monotonic)
    closed: threading.Event = field(default_factory=threading.Event)
    finished: threading.Event = field(default_factory=threading.Event)

    @property
    def api(self) -> str | None:
        """The wire format that was asked, None on an unknown path."""
        rendering = RENDERINGS.get(self.path)
        return rendering.api if rendering else None


class ClientGone(Exception):
    """The client closed the connection while its answer was being played."""


class ProviderCuts(Exception):
    """The step ends the connection here."""


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Exchange:
    """One request being answered: what the steps write with. Every call raises ClientGone once the client left."""

    def __init__(self, sock: socket.socket, received: Received) -> None:
        self.received = received
        self._sock = sock
        self._gone = select.poll()
        self._gone.register(sock, GONE)

    def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self._head(status, {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}, body)

    def open_stream(self) -> None:
        self._head(200, {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked"})

    def send(self, data: bytes) -> None:
        if data:
            self._write(chunked(data))

    def close_stream(self, last: bytes) -> None:
        # In one write: whoever reads the last event has the end as well.
        self._write((chunked(last) if last else b"") + b"0\r\n\r\n")

    def pause(self, seconds: float | None) -> None:
        """Waits; None waits until the client leaves."""
        if self._gone.poll(None if seconds is None else seconds * 1000):
            raise ClientGone

    def wait_for(self, event: threading.Event) -> None:
        while not event.is_set():
            self.pause(HOLD_POLL_MS / 1000)

    def begin(self, data: bytes) -> None:
        """These bytes as they are, with more to come."""
        self._write(data)

    def raw(self, data: bytes) -> None:
        """These bytes as the answer, status line and all, and the end of the connection."""
        self._write(data)
        raise ProviderCuts

    def cut(self, reset: bool) -> None:
        if reset:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ProviderCuts

    def _head(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        self._write("\r\n".join(lines).encode("latin-1") + body)

    def _write(self, data: bytes) -> None:
        self.pause(0)
        try:
            self._sock.sendall(data)
        except OSError:
            raise ClientGone from None
