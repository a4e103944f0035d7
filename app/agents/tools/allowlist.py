"""Commands without a shell: one program of those that are allowed, with its words as they stand."""

from __future__ import annotations

import io
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence

from app.agents.tools.tool import ToolFailed

# Characters of a command's word in a message.
MAX_SHOWN = 80

# Words that mean something to a shell alone.
_OPERATOR = re.compile(r"[|&;()]+|\d*[<>].*|&>.*|.*(\$\(|`).*", re.DOTALL)


def named(safe_bins: Sequence[str]) -> str:
    """The programs, for the model."""
    return ", ".join(safe_bins) or "none"


def permitted(command: str, safe_bins: Sequence[str], path: str) -> list[str]:
    """The program with its arguments. path: where it is looked for. Raises ToolFailed for what is not allowed."""
    try:
        words = list(_words(command))
    except ValueError as error:
        raise ToolFailed(f"denied by policy: the command can't be split into words: {error}") from None
    if not words:
        raise ToolFailed("denied by policy: the command is empty")
    name = words[0][0]
    if name not in safe_bins or "/" in name:
        raise ToolFailed(
            f"denied by policy: {name[:MAX_SHOWN]!r} is not in tools.exec.safeBins (allowed: {named(safe_bins)})"
        )
    for word, bare in words:
        if bare and _OPERATOR.fullmatch(word):
            raise ToolFailed(
                f"denied by policy: {word[:MAX_SHOWN]!r} needs a shell, and there is none (tools.exec.security is "
                "allowlist); give one program with its arguments, and quote what is meant literally"
            )
    program = shutil.which(name, path=path)
    if program is None:
        raise ToolFailed(f"{name!r} is allowed, but not installed")
    return [program, *(word for word, _ in words[1:])]


def _words(command: str) -> Iterator[tuple[str, bool]]:
    """The words as a shell would split them, and whether each stands there bare, without quotes. Raises ValueError."""
    text = io.StringIO(command)
    words = shlex.shlex(text, posix=True, punctuation_chars=False)
    words.whitespace_split = True
    words.commenters = ""
    start = 0
    for word in words:
        end = text.tell()
        yield word, command[start:end].strip() == word
        start = end
