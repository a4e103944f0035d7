"""A timer for silence."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent


class IdleTimer:
    """Calls ``on_idle`` once, in the hub, when ``touch`` was not called for ``seconds``.

    For waits that come with every token: a touch reads the clock, where a ``gevent.Timeout`` for each wait costs 3 µs.
    """

    __slots__ = ("_on_idle", "_seconds", "_timer", "_touched")

    def __init__(self, seconds: float, on_idle: Callable[[], object]) -> None:
        self._on_idle = on_idle
        self._timer: Any = None
        self.restart(seconds)

    def touch(self) -> None:
        self._touched = time.monotonic()

    def restart(self, seconds: float) -> None:
        """Begin anew, with another patience."""
        self._seconds = seconds
        self.touch()
        self._start(seconds)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _start(self, seconds: float) -> None:
        self.stop()
        self._timer = gevent.get_hub().loop.timer(seconds)
        self._timer.start(self._fired)

    def _fired(self) -> None:
        left = self._touched + self._seconds - time.monotonic()
        if left > 0:
            self._start(left)
        else:
            self.stop()
            self._on_idle()
