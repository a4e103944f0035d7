"""What a child prints: its first and its last part, up to a bound, and how much there was between them."""

from __future__ import annotations

from dataclasses import dataclass

# Bytes of one read or write, between which other greenlets have their turn.
BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a child ended.

    output:    what it printed, standard output and standard error in the order in which they came, up to the bound.
    code:      its exit code, negative for a signal. None when it was ended for its time or its output.
    truncated: it printed more than the bound.
    timed_out: it was ended because its time was over.
    left_out:  bytes that are missing from ``output`` at the position ``gap``.
    """

    output: bytes
    code: int | None
    truncated: bool = False
    timed_out: bool = False
    gap: int = 0
    left_out: int = 0

    def text(self) -> str:
        """The output for a reader, with a line where something was left out. What is not UTF-8 becomes U+FFFD."""
        if not self.left_out:
            return self.output.decode(errors="replace")
        first, last = (part.decode(errors="replace") for part in (self.output[: self.gap], self.output[self.gap :]))
        return f"{first}\n[{self.left_out} bytes left out]\n{last}"


class Printout:
    """The first and the last part of what a program prints, and how much there was between them."""

    def __init__(self, bound: int, *, whole: bool) -> None:
        self._last_size = 0 if whole else bound // 2
        self._first_size = bound - self._last_size
        self._first = bytearray()
        self._last = bytearray()
        self.total = 0

    def add(self, block: bytes) -> None:
        room = self._first_size - len(self._first)
        self._first += block[:room]
        self._last += block[room:]
        self.total += len(block)
        if len(self._last) > self._last_size + BLOCK:
            self._trim()

    def kept(self) -> bytes:
        self._trim()
        return bytes(self._first + self._last)

    @property
    def gap(self) -> int:
        return len(self._first)

    @property
    def left_out(self) -> int:
        self._trim()
        return self.total - len(self._first) - len(self._last)

    def _trim(self) -> None:
        del self._last[: max(0, len(self._last) - self._last_size)]
