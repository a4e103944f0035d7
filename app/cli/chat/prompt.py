"""What the user types: a line, several that end with a backslash, or a paste."""

from __future__ import annotations

import sys
from collections.abc import Iterable

try:
    import readline
except ImportError:  # a Python built without it: lines can be typed all the same
    readline = None  # type: ignore[assignment]

FIRST, NEXT = "> ", ". "


class Prompt:
    """Reads from the terminal with history, or plain lines from elsewhere."""

    def __init__(self) -> None:
        self.on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        if self.on_terminal and readline is not None:
            # A paste of several lines is one message.
            readline.parse_and_bind("set enable-bracketed-paste on")

    def remember(self, messages: Iterable[str]) -> None:
        """What the arrow keys bring back, in place of what they did."""
        if self.on_terminal and readline is not None:
            readline.clear_history()
            for message in messages:
                readline.add_history(message)

    def read(self) -> str:
        """The next message. Raises EOFError at the end, KeyboardInterrupt."""
        lines = [self._line(FIRST)]
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1]
            lines.append(self._line(NEXT))
        return "\n".join(lines)

    def holds_text(self) -> bool:
        """Whether something was typed that Ctrl-C threw away."""
        return self.on_terminal and readline is not None and bool(readline.get_line_buffer())

    def _line(self, prompt: str) -> str:
        if self.on_terminal:
            return input(prompt)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\n")
