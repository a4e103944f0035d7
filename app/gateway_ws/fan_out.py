"""Events on their way to many connections: in order, and with turns for everybody else."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import gevent
from gevent import Greenlet

from app.concurrency.slices import SLICE, Slices

if TYPE_CHECKING:
    from app.gateway_ws.connection import Connection

# Connections that are told at once; with more, each event goes in slices.
AT_ONCE = 100
# Seconds in which one slice of work is done at once: two hundred runs may end in the same moment.
WINDOW = 4 * SLICE
# How much one event counts for ``cost``.
WEIGHT = 0.1


class FanOut:
    """``cost``: seconds of work that an event takes, of late."""

    def __init__(self) -> None:
        self.cost = 0.0
        self._waiting: deque[tuple[Sequence[Connection], bytes]] = deque()
        self._sender: Greenlet[[], None] | None = None
        self._window = self._spent = 0.0

    def tell(self, hearing: Sequence[Connection], event: bytes) -> None:
        """Send what ``frames.event`` made, now or soon. Never waits."""
        now = time.perf_counter()
        if now - self._window > WINDOW:
            self._window, self._spent = now, 0.0
        if self._sender is None and self._spent < SLICE and len(hearing) <= AT_ONCE:
            for connection in hearing:
                connection.send_rendered(event)
            self._note(time.perf_counter() - now)
            return
        self._waiting.append((hearing, event))
        if self._sender is None:
            self._sender = gevent.spawn(self._send)

    def flush(self) -> None:
        """Send what waits before everything ends."""
        if self._sender is not None:
            self._sender.join()

    def _send(self) -> None:
        slices = Slices()
        try:
            while self._waiting:
                hearing, event = self._waiting.popleft()
                cost = 0.0
                for connection in hearing:
                    began = time.perf_counter()
                    connection.send_rendered(event)
                    cost += time.perf_counter() - began
                    slices.end()
                self._note(cost)
        finally:
            self._sender = None

    def _note(self, seconds: float) -> None:
        self._spent += seconds
        self.cost += WEIGHT * (seconds - self.cost)
