"""A pause in long work, so that all others have their turn."""

from __future__ import annotations

import gevent

# Seconds. With none at all gevent takes up to fifty steps of such work one after the other before it looks for input.
_SHORTEST = 1e-6


def give_way() -> None:
    """Let everything happen that is due, input and timers too."""
    gevent.sleep(_SHORTEST)
