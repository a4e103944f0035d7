"""Failed attempts at a secret, counted for each address."""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from app.auth.proxies import network_of
from app.config.settings import RateLimit
from app.errors import TooManyAttempts

logger = logging.getLogger("gateway.auth")


class AttemptLimiter:
    """A sliding window of failures for each address, and a lock for those with too many.

    Kept across config reloads, so the policy comes with each failure. ``limits`` is not used: its memory storage has no
    bound, reads the wall clock, and runs a timer thread. No method yields to another greenlet between reading and
    writing, so there is no lock.

    clock:    monotonic seconds.
    capacity: most addresses whose failures are counted, and most that are locked. Beyond it the longest untouched
              goes; locks stand apart, so a flood of fresh addresses can't free a locked one.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, capacity: int = 10_000) -> None:
        self._clock = clock
        self._capacity = capacity
        self._failures: OrderedDict[str, list[float]] = OrderedDict()
        self._locks: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """The number of records held."""
        return len(self._failures) + len(self._locks)

    def check(self, address: str) -> None:
        """Raise ``TooManyAttempts`` while ``address`` is locked."""
        if not self._locks:
            return
        group = network_of(address)
        until = self._locks.get(group)
        if until is None:
            return
        seconds = until - self._clock()
        if seconds > 0:
            raise TooManyAttempts("Too many failed attempts, try again later", retry_after=math.ceil(seconds))
        del self._locks[group]

    def failed(self, address: str, policy: RateLimit) -> None:
        """Count a wrong secret; the ``policy.max_attempts``-th within the window locks the address."""
        group = network_of(address)
        now = self._clock()
        start = now - policy.window_ms / 1000
        recent = [moment for moment in self._failures.pop(group, ()) if moment > start]
        recent.append(now)
        if len(recent) < policy.max_attempts:
            self._failures[group] = recent
            _bound(self._failures, self._capacity)
            return
        self._locks[group] = now + policy.lockout_ms / 1000
        _bound(self._locks, self._capacity)
        logger.warning("%s is locked for %g s after %d wrong secrets", group, policy.lockout_ms / 1000, len(recent))

    def succeeded(self, address: str) -> None:
        """Forget the failures of ``address``."""
        if self._failures:
            self._failures.pop(network_of(address), None)


def _bound(records: OrderedDict[str, Any], capacity: int) -> None:
    if len(records) > capacity:
        records.popitem(last=False)
