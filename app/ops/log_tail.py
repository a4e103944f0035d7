"""The latest lines of the log, in memory, for those who can't see where stderr goes."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Any

# What stands where a log file would have its path.
NAME = "stderr"

MAX_LINES = 2000
MAX_BYTES = 500_000
# Characters of a line; the rest of a longer one is not kept.
MAX_LINE = 32_000


class LogTail:
    """Keeps up to ``MAX_LINES`` and ``MAX_BYTES``. A cursor counts the bytes of all lines until there, newlines too.

    Without a lock, like the handler that feeds it: two threads at once may leave a cursor off by a line, no more.
    """

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._size = 0
        self._end = 0
        self._process = 0
        self._origin = 0

    def append(self, line: str) -> None:
        """Add a line, without its newline."""
        if len(line) > MAX_LINE:
            line = line[:MAX_LINE] + "…"
        size = _size(line)
        self._lines.append(line)
        self._size += size
        self._end += size
        while self._size > MAX_BYTES or len(self._lines) > MAX_LINES:
            self._size -= _size(self._lines.popleft())

    def read(self, cursor: int | None, limit: int, max_bytes: int) -> dict[str, Any]:
        """``LogsTailResult`` of the published schema: what follows ``cursor``, or the latest without one.

        The answer's ``cursor`` is where to go on: lines beyond ``limit`` and ``max_bytes`` come with the next call, and
        only without a cursor are they left out (``truncated``). ``reset``: the cursor is another process's, or what
        followed it is not here any more, ``skippedBytes`` of it.
        """
        lines = list(self._lines)
        origin = self._origin_here()
        end = origin + self._end
        first = end - sum(map(_size, lines))
        told: dict[str, Any] = {"file": NAME, "size": end}
        if cursor is None:
            count = _fitting(reversed(lines), limit, max_bytes)
            told |= {"cursor": end, "truncated": count < len(lines)}
            return {**told, "lines": _cut(lines[len(lines) - count :], max_bytes)}
        if not first <= cursor <= end:
            told["reset"] = True
            if origin <= cursor < first:
                told["skippedBytes"] = first - cursor
            cursor = first
        start, at = 0, first
        while at < cursor and start < len(lines):
            at += _size(lines[start])
            start += 1
        chosen = lines[start : start + _fitting(islice(lines, start, None), limit, max_bytes)]
        return {**told, "cursor": at + sum(map(_size, chosen)), "lines": _cut(chosen, max_bytes)}

    def _origin_here(self) -> int:
        """Where this process's cursors begin: beyond those of the processes before it, at less than 1 MB a second."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._origin = int(time.time()) * 1_000_000
        return self._origin


def _size(line: str) -> int:
    return (len(line) if line.isascii() else len(line.encode("utf-8", "replace"))) + 1


def _fitting(lines: Iterable[str], limit: int, max_bytes: int) -> int:
    """How many of the lines fit; one at least."""
    count = size = 0
    for line in islice(lines, limit):
        size += _size(line)
        if size > max_bytes and count:
            break
        count += 1
    return count


def _cut(lines: list[str], max_bytes: int) -> list[str]:
    if len(lines) == 1 and _size(lines[0]) > max_bytes:
        return [lines[0].encode("utf-8", "replace")[:max_bytes].decode("utf-8", "ignore")]
    return lines
