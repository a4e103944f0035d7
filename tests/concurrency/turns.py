"""How often others had their turn while something was done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent


def turns_during(work: Callable[[], Any]) -> int:
    """How often a greenlet that waits for a timer went on, as one would that waits for a socket."""
    turns = 0

    def count() -> None:
        nonlocal turns
        while True:
            gevent.sleep(0.000_1)
            turns += 1

    counting = gevent.spawn(count)
    gevent.sleep(0.001)
    turns = 0
    work()
    counted = turns
    counting.kill()
    return counted
