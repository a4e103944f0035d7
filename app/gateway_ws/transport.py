"""One WebSocket on gunicorn's socket: what simple-websocket leaves to be desired under gevent.

Its own class has a second greenlet for reading, cuts large frames, queues without bound and takes compressed messages
of any size. Here the greenlet that serves the connection reads, and all writing goes through an outbox.
Source: RFC 6455; the close codes are in section 7.4.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any

import gevent
from gunicorn.util import close_graceful
from simple_websocket import Server
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

from app.concurrency.slices import give_way
from app.errors import InvalidRequest
from app.gateway_ws.outbox import Outbox

log = logging.getLogger("gateway.ws")

# What is taken apart before others have their turn: so many bytes may be a thousand frames, or ten milliseconds.
RECEIVE_BYTES = 8 * 1024
# Bytes that a part of a message counts at least: empty ones take memory, too.
PART = 64
# Bytes of a close frame's reason.
MAX_REASON = 123

# Seconds in which a closing connection may take what was written to it, and then say that it closes, too.
FLUSH_SECONDS = 2.0
LINGER_SECONDS = 2.0
# A peer that is told that its message is too large is still sending it: closing at once would reset the connection
# before it can read why.
LINGER_BYTES = 64 * 1024 * 1024

NORMAL, PROTOCOL_ERROR, POLICY, TOO_BIG, RESTART, TRY_LATER = 1000, 1002, 1008, 1009, 1012, 1013


class Closed(Exception):
    """The connection is closed or closing: nothing more is read from it."""


class _Interrupted(OSError):
    """Thrown into the greenlet that waits for bytes, when another closes the connection."""


class _OwnGreenlet:
    """In the place of simple-websocket's reading thread: the greenlet of the view reads."""

    name = ""

    def __init__(self, target: Any) -> None:
        pass

    def start(self) -> None:
        pass


class Socket(Server):  # type: ignore[misc]
    """A server's end. ``receive`` and ``finish`` belong to the greenlet that made it, the rest may be called by all.

    max_message: bytes that one message may have; may be changed at any time.
    heard:       ``time.monotonic()`` when the peer last sent anything.
    peer:        what the worker knows of the connection.

    Raises InvalidRequest when the request is no valid opening handshake.
    """

    def __init__(self, environ: dict[str, Any], *, max_message: int, max_buffered: int) -> None:
        self.max_message = max_message
        self.heard = time.monotonic()
        self._messages: deque[bytes | None] = deque()
        self._parts: list[bytes] = []
        self._size = 0
        self._closing = False
        self.peer = getattr(environ.get("wsgi.input"), "connection", None)
        self.outbox = Outbox(environ["gunicorn.socket"], max_buffered, self.give_up)
        try:
            super().__init__(environ, thread_class=_OwnGreenlet)
        except (ProtocolError, UnicodeError) as error:
            raise InvalidRequest(f"not a WebSocket handshake: {error}"[:300]) from None

    def receive(self, timeout: float | None = None) -> bytes | None:
        """The next text message, as UTF-8; None for one that is binary. Raises Closed."""
        while not self._messages:
            if self._closing:
                raise Closed
            self._read()
            if not self._messages:
                # A socket with more to read doesn't let others have their turn by itself.
                give_way()
        return self._messages.popleft()

    def send(self, data: bytes) -> None:
        """Write a text message behind all that waits; never waits itself. Does nothing on a closed connection.

        data: UTF-8. Framed here: through wsproto, an event to 500 connections took twice as long.
        """
        if not self._closing:
            self.outbox.put(_text_frame(data))

    def ping(self) -> None:
        if not self._closing:
            self.outbox.put(self.ws.send(Ping()))

    def close(self, reason: int | None = None, message: str | None = None) -> None:
        """Say why, behind all that waits, and read no more. Returns at once; ``finish`` does the rest."""
        if self._closing:
            return
        frame = self._close_frame(reason or NORMAL, message)
        self._end_reading()
        self.outbox.put(frame)

    def give_up(self) -> None:
        """The peer doesn't read: what waits for it is dropped."""
        if not self._closing:
            log.warning("a client that does not read is closed: %d bytes were waiting for it", self.outbox.size)
            frame = self._close_frame(TRY_LATER, "too slow: more is waiting than this gateway keeps")
            self._end_reading()
            self.outbox.replace(frame)

    def finish(self) -> None:
        """Give the peer time to take what was written and to close as well, then end the connection."""
        self.close()
        if self.outbox.flush(FLUSH_SECONDS):
            close_graceful(self.sock, LINGER_SECONDS, LINGER_BYTES)
        else:
            self.outbox.drop()

    # In the place of simple-websocket's.

    def _handle_events(self) -> bool:
        for event in self.ws.events():
            if isinstance(event, (TextMessage, BytesMessage)):
                self._take(event)
            elif isinstance(event, Ping):
                self.outbox.put(self.ws.send(event.response()))
            elif isinstance(event, Request):
                # No compression: each connection would keep 300 KB for it, and a small frame could become a huge one.
                self.outbox.put(self.ws.send(AcceptConnection()))
            elif isinstance(event, CloseConnection):
                # The peer's own, or wsproto's for what the peer must not send.
                self.close(event.code if event.code in _ANSWERABLE else NORMAL, event.reason)
            elif not isinstance(event, Pong):
                raise AssertionError(f"unexpected {event}")
            if self._closing:
                return False
        return True

    def _read(self) -> None:
        try:
            data = self.sock.recv(RECEIVE_BYTES)
        except OSError:
            data = b""
        if self._closing:
            raise Closed
        if not data:
            self._end_reading()
            self.outbox.drop()
            raise Closed
        self.heard = time.monotonic()
        self.ws.receive_data(data)
        self._handle_events()

    def _take(self, event: Any) -> None:
        is_text = isinstance(event, TextMessage)
        part = event.data.encode() if is_text else bytes(event.data)
        size = len(part)
        self._size += size if event.message_finished else max(size, PART)
        if self._size > self.max_message:
            self._parts.clear()
            self.close(TOO_BIG, f"a message may have {self.max_message:,} bytes here")
            return
        self._parts.append(part)
        if event.message_finished:
            self._messages.append(b"".join(self._parts) if is_text else None)
            self._parts.clear()
            self._size = 0

    def _close_frame(self, code: int, message: str | None) -> bytes:
        text = (message or "").encode()[:MAX_REASON].decode(errors="ignore")
        frame: bytes = self.ws.send(CloseConnection(code, text or None))
        return frame

    def _end_reading(self) -> None:
        self._closing = True
        self.connected = False
        # Without effect unless a greenlet waits for bytes.
        gevent.get_hub().cancel_wait(self.sock._read_event, _Interrupted())


def _text_frame(data: bytes) -> bytes:
    """An unmasked text frame that is a whole message (RFC 6455, 5.2)."""
    size = len(data)
    if size < 126:
        return b"\x81%c%b" % (size, data)
    if size < 65536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), data)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), data)


# Codes that may stand in a close frame (RFC 6455, 7.4.1 and 7.4.2).
_ANSWERABLE = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, *range(3000, 5000)})
