"""The last lines that a server wrote to its standard error: often the only place that says why it failed."""

from __future__ import annotations

import logging
from collections import deque

from app.agents.tools.mcp.wire import MAX_REASON, cut

# Lines kept.
KEPT = 20
# Lines that explain a failure.
SHOWN = 5


class Words(logging.Handler):
    """Also takes what the SDK logs about a server, which for one behind a URL is all there is."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: deque[str] = deque(maxlen=KEPT)
        self._rest = b""
        self._fresh = 0

    def feed(self, block: bytes) -> None:
        """A piece of standard error as it came."""
        *lines, rest = (self._rest + block).split(b"\n")
        self._rest = rest[: 4 * MAX_REASON]
        for line in lines[-KEPT:]:
            self.note(line.decode(errors="replace"))

    def note(self, line: str) -> None:
        if line := line.strip():
            self._lines.append(cut(line, MAX_REASON))
            self._fresh += 1

    def emit(self, record: logging.LogRecord) -> None:
        self.note(record.getMessage().partition("\n")[0])

    def fresh(self) -> list[str]:
        """The kept lines that came since the last time."""
        count, self._fresh = min(self._fresh, len(self._lines)), 0
        return list(self._lines)[len(self._lines) - count :]

    def last(self) -> str:
        """The last few of them, with one that has no end yet."""
        self.feed(b"\n")
        return " | ".join(list(self._lines)[-SHOWN:])
