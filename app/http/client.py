"""The client's end of the connection, watched while its answer is being made.

A generator learns that its client left only at its next write, and a view never: so the socket itself is watched.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

import gevent

from app.readiness import ready_for

_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR

# A client that sent its next request early keeps the socket readable: look again after so many seconds.
LOOK_AGAIN = 0.25


class ClientWatch:
    """Calls ``on_gone`` once when the client closes its connection. ``close`` before the connection is used again.

    Without a socket in the environ (Flask's test client) nothing is watched.
    """

    def __init__(self, environ: dict[str, Any], on_gone: Callable[[], object]) -> None:
        sock = environ.get("gunicorn.socket")
        self._io: Any = None
        self._timer: Any = None
        if sock is None:
            return
        self._on_gone = on_gone
        self._descriptor = sock.fileno()
        self._loop = gevent.get_hub().loop
        self._io = self._loop.io(self._descriptor, 1)
        self._io.start(self._look)

    def close(self) -> None:
        for watcher in (self._io, self._timer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._io = self._timer = None

    def _look(self) -> None:
        # Runs in the hub: it must not wait.
        if self._io is None:
            return
        if ready_for(self._descriptor, _GONE):
            self.close()
            self._on_gone()
            return
        self._io.stop()
        if self._timer is None:
            self._timer = self._loop.timer(LOOK_AGAIN)
        self._timer.start(self._look_again)

    def _look_again(self) -> None:
        if self._io is not None:
            self._io.start(self._look)
            self._look()
