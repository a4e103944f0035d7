"""What waits to be written to one socket."""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
from gevent import Greenlet

# Bytes of small frames that are written together.
BLOCK = 64 * 1024


class Outbox:
    """Bytes for one socket, in order, each piece whole. Whoever puts something in never waits.

    A piece is written at once if the socket takes it; only while something waits there is a greenlet that writes.

    limit:      bytes that may wait; may be changed at any time. overflowed: called when more do.
    """

    def __init__(self, sock: Any, limit: int, overflowed: Callable[[], object]) -> None:
        self._sock = sock
        # A TLS socket can't be tried without waiting.
        self._direct = None if isinstance(sock, ssl.SSLSocket) else sock._sock.send
        self.limit = limit
        self._overflowed = overflowed
        self._waiting: deque[bytes] = deque()
        self._writer: Greenlet[[], None] | None = None
        self._dropped = False
        # Whether what waits begins with the rest of a piece.
        self._cut = False
        self.size = 0

    def put(self, data: bytes) -> None:
        if self._dropped:
            return
        if self._writer is None and self._direct is not None:
            try:
                written = self._direct(data)
            except BlockingIOError:
                written = 0
            except OSError:
                self.drop()
                return
            if written == len(data):
                return
            data = data[written:]
            self._cut = written > 0
        self._waiting.append(data)
        self.size += len(data)
        if self._writer is None:
            self._writer = gevent.spawn(self._write)
        if self.size > self.limit:
            self._overflowed()

    def replace(self, last: bytes) -> None:
        """Give up all that waits but the piece that is half written, and end with ``last``."""
        while len(self._waiting) > self._cut:
            self.size -= len(self._waiting.pop())
        self._waiting.append(last)
        self.size += len(last)

    def flush(self, seconds: float) -> bool:
        """Wait until everything is written; False when it takes longer, or the connection is gone."""
        if self._writer is not None:
            self._writer.join(seconds)
        return self._writer is None and not self._dropped

    def drop(self) -> None:
        """The connection is at its end: forget what waits, and wake whoever reads."""
        if self._dropped:
            return
        self._dropped = True
        self._waiting.clear()
        self.size = 0
        try:
            self._sock.shutdown(2)
        except OSError:
            # The peer was faster.
            return

    def _write(self) -> None:
        try:
            while self._waiting:
                block = self._next_block()
                self._sock.sendall(block)
                self.size -= len(block)
        except OSError:
            self.drop()
        finally:
            self._writer = None

    def _next_block(self) -> bytes:
        first = self._waiting.popleft()
        self._cut = False
        if len(first) >= BLOCK or not self._waiting:
            return first
        pieces, size = [first], len(first)
        while self._waiting and size + len(self._waiting[0]) <= BLOCK:
            pieces.append(self._waiting.popleft())
            size += len(pieces[-1])
        return b"".join(pieces)
