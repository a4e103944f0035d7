"""Work in a thread beside the hub."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import gevent
from gevent.util import wrap_errors

P = ParamSpec("P")
T = TypeVar("T")

# Seconds for which a thread keeps the interpreter from the hub, which asks for it several times in each request: by
# Python's own 5 ms, a large configuration that is read again made stalls of 200.
SWITCH = 0.000_5

_USUAL = sys.getswitchinterval()
_at_work: set[object] = set()


def run_in_thread(work: Callable[[], T]) -> T:
    """Do what takes long in Python alone, in one of the hub's threads; return or raise what it does.

    A greenlet that is killed here leaves when the thread is done.
    """
    with _short_switches():
        return aside(work)


def aside(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """The same for short work that blocks.

    Nothing is written any more when the run of a greenlet that was killed here has ended.
    """
    # Errors are passed as values: those that end a job of the pool are printed.
    job = gevent.get_hub().threadpool.spawn(wrap_errors((Exception,), work), *arguments, **named)
    try:
        outcome: Any = job.get()
    finally:
        job.wait()
    if isinstance(outcome, Exception):
        raise outcome
    done: T = outcome
    return done


@contextmanager
def _short_switches() -> Iterator[None]:
    """Only meanwhile: gevent goes by the same number, and reads on more often the shorter it is."""
    mine = object()
    _at_work.add(mine)
    sys.setswitchinterval(SWITCH)
    try:
        yield
    finally:
        _at_work.discard(mine)
        if not _at_work:
            sys.setswitchinterval(_USUAL)
