"""What happens to sessions, for those who want to hear of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from app.sessions.transcript import Entry

log = logging.getLogger("gateway.sessions")

TURN, INJECTED = "turn", "injected"
CREATED, PATCHED, RESET, DELETED, COMPACTED = "created", "patched", "reset", "deleted", "compacted"


class Change(NamedTuple):
    """A change that is on disk.

    kind:     one of the above.
    run_id:   of the turn. messages: what the turn, or the one who injected it, added to the transcript.
    """

    key: str
    agent_id: str
    kind: str
    run_id: str | None = None
    messages: Sequence[Entry] = ()


Watcher = Callable[[Change], object]


class Watchers:
    """Those who hear of changes, in the greenlet that made them: they must not wait."""

    def __init__(self) -> None:
        self._told: list[Watcher] = []

    def __bool__(self) -> bool:
        return bool(self._told)

    def add(self, told: Watcher) -> None:
        self._told.append(told)

    def tell(self, change: Change) -> None:
        for told in self._told:
            try:
                told(change)
            except Exception:
                # The change is stored; neither who made it nor the other watchers can help it.
                log.exception("a watcher of session %r failed", change.key)
