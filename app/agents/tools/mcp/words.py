"""The last lines that a server wrote to its standard error: often the only place that says why it failed."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence

from app.agents.tools.mcp.wire import HIDDEN, MAX_REASON, cut

# Lines kept.
KEPT = 20
# Lines that explain a failure.
SHOWN = 5
# Bytes of a line that are read: as long as a secret may be that stands in it.
LONGEST = 128 * 1024


class Words(logging.Handler):
    """Also takes what the SDK logs about a server, which for one behind a URL is all there is.

    secrets: hidden here, as in ``wire.Order``, since nobody would know one again of which a part was cut off.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.secrets: Sequence[str] = ()
        self._lines: deque[str] = deque(maxlen=KEPT)
        self._rest = b""
        self._fresh = 0

    def feed(self, block: bytes) -> None:
        """A piece of standard error as it came."""
        *lines, rest = (self._rest + block).split(b"\n")
        self._rest = rest[:LONGEST]
        for line in lines[-KEPT:]:
            self.note(line.decode(errors="replace"))

    def hidden(self, text: str) -> str:
        """The text without the secrets."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def note(self, line: str) -> None:
        if line := self.hidden(line).strip():
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
