"""Orphans: what a child leaves behind when it is killed comes to this process, and is ended here."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import gevent
from gevent.lock import RLock

from app import descendants
from app.concurrency.threads import aside

# Seconds in which those of one child must end, and between two looks at them.
PATIENCE = 5.0
PAUSE = 0.005

# Children that were started here; all others came as orphans.
known: set[int] = set()
# The process that adopts them, if this is it.
_adopting: set[int] = set()
_starting = RLock()


def adopt() -> None:
    """From now on this process has no children but those that are made known here. Not for a test's process."""
    descendants.adopt()
    _adopting.add(os.getpid())


@contextmanager
def starting() -> Iterator[set[int]]:
    """While a child is started in a way that waits before it can be made known. Gives the set of those known."""
    with _starting:
        yield known


def end() -> bool:
    """End all orphans. Waits for it; whether it was done."""
    if os.getpid() not in _adopting:
        return True
    deadline = time.monotonic() + PATIENCE
    # Those of an orphan come here when it is gone.
    while _kill():
        if time.monotonic() > deadline:
            return False
        gevent.sleep(PAUSE)
    return True


def _kill() -> int:
    found = aside(descendants.children_of, os.getpid())
    with starting():
        orphans = [pid for pid in found if pid not in known and _is_child(pid)]
        for pid in orphans:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
    return len(orphans)


def _is_child(pid: int) -> bool:
    """Whether it still is one: it may have ended since, and the number be another's."""
    return descendants.parent_of(pid) == os.getpid()
