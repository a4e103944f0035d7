"""Events on their way from a run to the one greenlet that renders them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic, TypeVar

from gevent import Timeout, get_hub
from gevent.hub import Waiter

T = TypeVar("T")


class _Wakeups:
    """Wakes all greenlets that are due at the beginning of the hub's next pass.

    gevent's own queues wake theirs by callbacks, of which a pass does 5 ms' worth before it reads on: with five hundred
    streams the readers of events fall more and more behind their writers. A timer is not cut short.
    """

    def __init__(self) -> None:
        self._due: list[Waiter[None]] = []
        self._timer: Any = get_hub().loop.timer(0.0)

    def add(self, waiter: Waiter[None]) -> None:
        self._due.append(waiter)
        if len(self._due) == 1:
            self._timer.start(self._wake)

    def _wake(self) -> None:
        due, self._due = self._due, []
        for waiter in due:
            waiter.switch(None)


class Channel(Generic[T]):
    """A queue without end for one reader. What it holds is bounded by what a run can say."""

    __slots__ = ("_items", "_nudged", "_waiter")

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._waiter: Waiter[None] | None = None
        self._nudged = False

    def put(self, item: T) -> None:
        self._items.append(item)
        self._call()

    def nudge(self) -> None:
        """Let the reader return without an item."""
        self._nudged = True
        self._call()

    def get(self, timeout: float | None = None) -> T | None:
        """The next item; None after a nudge, or ``timeout`` seconds."""
        if not self._items and not self._nudged:
            self._waiter = Waiter()
            try:
                with _patience(timeout):
                    self._waiter.get()
            finally:
                self._waiter = None
        self._nudged = False
        return self._items.popleft() if self._items else None

    def waiting(self) -> Iterator[T]:
        """The items that are there already."""
        while self._items:
            yield self._items.popleft()

    def _call(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            _wakeups().add(waiter)


def _patience(seconds: float | None) -> AbstractContextManager[object]:
    return nullcontext() if seconds is None else Timeout(seconds, False)  # type: ignore[arg-type]


def _wakeups() -> _Wakeups:
    """Those of this thread's hub."""
    hub: Any = get_hub()
    found: _Wakeups | None = getattr(hub, "gateway_wakeups", None)
    if found is None:
        found = hub.gateway_wakeups = _Wakeups()
    return found
