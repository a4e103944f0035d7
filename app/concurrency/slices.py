"""Long work of the hub's own, in slices: other greenlets go on between them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import gevent

T = TypeVar("T")

# Seconds of work between two turns of the others.
SLICE = 0.005
# Seconds. Not 0: gevent does fifty such slices before it looks at sockets and timers.
PAUSE = 0.000_001


def give_way() -> None:
    """Let the others have their turn, those included who wait for sockets and timers."""
    gevent.sleep(PAUSE)


class Slices:
    """Of one piece of work. It may be killed, and what it reads may change, wherever it calls ``end``."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = time.perf_counter() + SLICE

    def end(self) -> None:
        """Let the others have their turn, if this slice was long enough."""
        if time.perf_counter() >= self._until:
            give_way()
            self._until = time.perf_counter() + SLICE


def taking_turns(items: Iterable[T]) -> Iterator[T]:
    """The items, with turns for the others between them."""
    slices = Slices()
    for item in items:
        yield item
        slices.end()
