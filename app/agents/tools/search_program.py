"""Searches a folder for names or for text. A process of its own, as a regular expression of a model may never end.

Run by path, with the standard library alone. A request comes as JSON on standard input, the answer goes as JSON to
standard output:

``{"kind": "find" or "grep", "pattern": str, "start": int, "prefix": str, "matches": int, "characters": int}``
    start: inherited descriptor of a folder, or for grep of a file. prefix: stands before the paths of the answer.
    matches, characters: how much is answered at most.
``{"lines": [str], "more": bool, "skipped": [str], "cut": int}``
    more: there is more than was asked for. skipped: names of folders that were left out. cut: files that are too
    large and were read in part.
``{"fault": str}``
    The request can't be met, for this reason.
"""

from __future__ import annotations

import json
import os
import re
import resource
import stat
import sys
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

# What is rarely meant, and large. It is searched when the path names it.
SKIPPED = frozenset({".git", "node_modules", "__pycache__", ".venv"})
# Folders, each an open descriptor.
MAX_DEPTH = 64
# Names of skipped folders that are told.
MAX_SKIPPED = 10
# Bytes: of a file that are searched, and of those in which a NUL says that it is not text.
MAX_FILE = 4 * 1024 * 1024
SNIFFED = 8 * 1024
# Characters of a line that are shown, and how many of them stand before the match in a longer one.
MAX_LINE = 300
BEFORE = 100
# Seconds of computing, and bytes of memory, so that it ends when nobody is left to end it.
MAX_CPU = 30
MAX_MEMORY = 256 * 1024 * 1024

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Fault(Exception):
    """The request can't be met."""


class Enough(Exception):
    """As much was found as was asked for."""


class LeaveOut(NamedTuple):
    """names: of folders. hidden: device and inode of what belongs to the gateway itself."""

    names: frozenset[str]
    hidden: frozenset[tuple[int, int]]


class Entry(NamedTuple):
    """path: relative to the start. folder: descriptor of the folder it is in. status: of itself, if it is a link."""

    path: str
    name: str
    folder: int
    status: os.stat_result


class Answer:
    def __init__(self, prefix: str, matches: int, characters: int) -> None:
        self.lines: list[str] = []
        self.skipped: set[str] = set()
        self.cut = 0
        self._prefix = prefix
        self._matches = matches
        self._characters = characters

    def add(self, line: str) -> None:
        line = self._prefix + line
        self._characters -= len(line) + 1
        if len(self.lines) >= self._matches or self._characters < 0:
            raise Enough
        self.lines.append(line)


def entries(folder: int, leave_out: LeaveOut, answer: Answer, above: str = "", depth: int = 1) -> Iterator[Entry]:
    """All that is below ``folder``, sorted, but for what is to be left out. Links are not followed."""
    with os.scandir(folder) as listed:
        names = sorted(entry.name for entry in listed)
    for name in names:
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError:  # gone
            continue
        if is_hidden(status, leave_out):
            continue
        is_folder = stat.S_ISDIR(status.st_mode)
        if is_folder and (name in leave_out.names or depth >= MAX_DEPTH):
            answer.skipped.add(name)
            continue
        yield Entry(above + name, name, folder, status)
        if is_folder:
            try:
                below = os.open(name, _FOLDER, dir_fd=folder)
            except OSError:  # gone, a link by now, or not readable
                continue
            try:
                # It may be another folder than the one that was looked at.
                if not is_hidden(os.fstat(below), leave_out):
                    yield from entries(below, leave_out, answer, f"{above}{name}/", depth + 1)
            finally:
                os.close(below)


def is_hidden(status: os.stat_result, leave_out: LeaveOut) -> bool:
    return (status.st_dev, status.st_ino) in leave_out.hidden


def is_usable(status: os.stat_result) -> bool:
    """Whether it is a file of this folder alone: another name of it may be anywhere."""
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def find(expression: re.Pattern[str], by_path: bool, found: Iterator[Entry], answer: Answer) -> None:
    for path, name, _, status in found:
        if expression.fullmatch(path if by_path else name):
            if stat.S_ISDIR(status.st_mode):
                answer.add(path + "/")
            elif is_usable(status):
                answer.add(path)


def grep(expression: re.Pattern[str], found: Iterator[Entry], leave_out: LeaveOut, answer: Answer) -> None:
    for path, name, folder, status in found:
        if not is_usable(status):
            continue
        try:
            descriptor = os.open(name, _FILE, dir_fd=folder)
        except OSError:  # gone, a link by now, or not readable
            continue
        try:
            # It may be another file than the one that was looked at.
            opened = os.fstat(descriptor)
            if is_usable(opened) and not is_hidden(opened, leave_out):
                grep_file(expression, path, descriptor, answer)
        finally:
            os.close(descriptor)


def grep_file(expression: re.Pattern[str], path: str, descriptor: int, answer: Answer) -> None:
    with open(descriptor, "rb", closefd=False) as stream:
        data = stream.read(MAX_FILE + 1)
    if b"\0" in data[:SNIFFED]:
        return
    if len(data) > MAX_FILE:
        answer.cut += 1
        data = data[:MAX_FILE]
    # The last line end ends a line and begins none.
    lines = data.removesuffix(b"\n").decode(errors="replace").split("\n") if data else []
    for number, line in enumerate((line.removesuffix("\r") for line in lines), 1):
        match = expression.search(line)
        if match:
            answer.add(f"{path}:{number}:{excerpt(line, match.start())}")


def excerpt(line: str, place: int) -> str:
    """The line, or of a long one what stands around ``place``."""
    if len(line) <= MAX_LINE:
        return line
    begin = max(0, min(place - BEFORE, len(line) - MAX_LINE))
    end = begin + MAX_LINE
    return f"{'…' if begin else ''}{line[begin:end]}{'…' if end < len(line) else ''}"


def glob_expression(glob: str) -> str:
    """A regular expression for ``*``, ``?``, ``[...]``, ``{a,b}``, and ``**`` for any number of folders."""
    parts = []
    place = depth = 0
    while place < len(glob):
        rest = glob[place:]
        bracket = re.match(r"\[([!^]?)(\]?[^\]]*)\]", rest)
        if rest.startswith("**/") and (place == 0 or glob[place - 1] == "/"):
            part, size = "(?:[^/]+/)*", 3
        elif rest.startswith("**"):
            part, size = ".*", 2
        elif rest[0] in "*?":
            part, size = "[^/]" + rest[0].replace("?", ""), 1
        elif bracket:
            inner = re.sub(r"([\\\[\]^&~|])", r"\\\1", bracket[2])
            part, size = f"(?!/)[{'^' if bracket[1] else ''}{inner}]", bracket.end()
        elif rest[0] == "{" and "}" in rest:
            part, size, depth = "(?:", 1, depth + 1
        elif rest[0] == "," and depth:
            part, size = "|", 1
        elif rest[0] == "}" and depth:
            part, size, depth = ")", 1, depth - 1
        elif rest[0] == "\\" and len(rest) > 1:
            part, size = re.escape(rest[1]), 2
        else:
            part, size = re.escape(rest[0]), 1
        parts.append(part)
        place += size
    return "".join(parts)


def compiled(pattern: str, is_glob: bool) -> re.Pattern[str]:
    try:
        return re.compile(glob_expression(pattern), re.DOTALL) if is_glob else re.compile(pattern)
    except re.error as error:
        if is_glob:
            raise Fault("pattern is not a glob such as **/*.py: check its brackets and braces") from None
        where = "" if error.pos is None else f" at position {error.pos}"
        raise Fault(f"pattern is not a regular expression: {error.msg}{where}") from None
    except (OverflowError, RecursionError) as error:
        raise Fault(f"pattern is too large: {error}") from None


def search(request: dict[str, Any]) -> dict[str, Any]:
    answer = Answer(request["prefix"], request["matches"], request["characters"])
    start, pattern, more = request["start"], request["pattern"], False
    # Inside a folder that is skipped elsewhere, others of the same name are meant too.
    names = SKIPPED.difference(request["prefix"].split("/"))
    leave_out = LeaveOut(names, frozenset((device, inode) for device, inode in request["hidden"]))
    found = entries(start, leave_out, answer)
    try:
        if request["kind"] == "find":
            glob = pattern.removeprefix("./").rstrip("/")
            find(compiled(glob, True), "/" in glob, found, answer)
        elif stat.S_ISDIR(os.fstat(start).st_mode):
            grep(compiled(pattern, False), found, leave_out, answer)
        else:
            grep_file(compiled(pattern, False), "", start, answer)
    except Enough:
        more = True
    return {"lines": answer.lines, "more": more, "skipped": sorted(answer.skipped)[:MAX_SKIPPED], "cut": answer.cut}


def main() -> None:
    # They would stand among the answer.
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU, MAX_CPU))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    # Whoever listens to an answer of a model comes first.
    os.nice(10)
    try:
        answer = search(json.load(sys.stdin))
    except Fault as fault:
        answer = {"fault": str(fault)}
    except MemoryError:
        answer = {"fault": "the search needs too much memory; use a simpler pattern or a narrower path"}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
