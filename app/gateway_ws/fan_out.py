"""Events on their way to many connections: in order, and with turns for everybody else."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import gevent
from gevent import Greenlet

from app.concurrency.slices import SLICE, Slices

if TYPE_CHECKING:
    from app.gateway_ws.connection import Connection

log = logging.getLogger("gateway.ws")

# Connections that are told at once; with more, each event goes in slices.
AT_ONCE = 100
# Seconds of quiet behind which another slice of work may be done at once: two hundred runs may end in one moment.
QUIET = SLICE
# How much one event counts for ``cost``.
WEIGHT = 0.1


class FanOut:
    """``cost``: seconds of work that an event takes, of late."""

    def __init__(self) -> None:
        self.cost = 0.0
        self._waiting: deque[tuple[Sequence[Connection], bytes]] = deque()
        self._sender: Greenlet[[], None] | None = None
        self._quiet_since = self._spent = 0.0

    def tell(self, hearing: Sequence[Connection], event: bytes) -> None:
        """Send what ``frames.event`` made, now or soon. Never waits."""
        now = time.perf_counter()
        if now - self._quiet_since > QUIET:
            self._spent = 0.0
        if self._sender is None and self._spent < SLICE and len(hearing) <= AT_ONCE:
            for connection in hearing:
                _send(connection, event)
            self._quiet_since = time.perf_counter()
            self._note(self._quiet_since - now)
            return
        self._waiting.append((hearing, event))
        if self._sender is None:
            self._sender = gevent.spawn(self._send_waiting)

    def flush(self) -> None:
        """Send what waits before everything ends."""
        if self._sender is not None:
            self._sender.join()

    def _send_waiting(self) -> None:
        slices = Slices()
        try:
            while self._waiting:
                hearing, event = self._waiting.popleft()
                cost = 0.0
                for connection in hearing:
                    began = time.perf_counter()
                    _send(connection, event)
                    cost += time.perf_counter() - began
                    slices.end()
                self._note(cost)
        finally:
            self._sender = None
            self._spent = 0.0

    def _note(self, seconds: float) -> None:
        self._spent += seconds
        self.cost += WEIGHT * (seconds - self.cost)


def _send(connection: Connection, event: bytes) -> None:
    try:
        connection.send_rendered(event)
    except Exception:
        # Whatever it is, the others hear this event and those behind it.
        log.exception("connection %s can't be told an event", connection.id)
