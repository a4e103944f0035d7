"""The latest lines of the log: what is kept, and how a reader that comes back goes on."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ops.log_tail import MAX_BYTES, MAX_LINE, MAX_LINES, LogTail

ALL: dict[str, Any] = {"limit": MAX_LINES, "max_bytes": MAX_BYTES}


def filled(*lines: str) -> LogTail:
    tail = LogTail()
    for line in lines:
        tail.append(line)
    return tail


def test_without_a_cursor_the_latest_lines_come() -> None:
    """As many as are asked for; what was left out is said, and the cursor is the end."""
    tail = filled("one", "two", "three")
    read = tail.read(None, 2, MAX_BYTES)
    assert (read["lines"], read["truncated"], read["file"]) == (["two", "three"], True, "stderr")
    assert read["cursor"] == read["size"]
    assert tail.read(None, **ALL)["truncated"] is False
    assert tail.read(None, 10, len("two\nthree\n"))["lines"] == ["two", "three"]
    assert tail.read(None, 10, len("two\nthree\n") - 1)["lines"] == ["three"]


def test_a_cursor_counts_bytes() -> None:
    """Newlines and the bytes of letters outside ASCII, as they would stand in a file."""
    tail = filled("é漢🙂")
    before = tail.read(None, **ALL)["cursor"]
    tail.append("é")
    assert tail.read(before, **ALL)["cursor"] - before == len("é\n".encode())


@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=8), max_size=30))
def test_a_reader_that_goes_on_misses_nothing(lines: list[str]) -> None:
    """However few lines it takes at a time, it gets each of them once, in order."""
    tail = LogTail()
    cursor = tail.read(None, **ALL)["cursor"]
    for line in lines:
        tail.append(line)
    seen: list[str] = []
    while True:
        read = tail.read(cursor, 3, 40)
        assert "reset" not in read
        if not read["lines"]:
            break
        seen += read["lines"]
        cursor = read["cursor"]
    assert seen == lines
    assert cursor == read["size"]


def test_lines_that_are_gone_are_told() -> None:
    """A reader that comes too late goes on with the oldest line, and learns how many bytes it missed."""
    tail = filled("first")
    cursor = tail.read(None, **ALL)["cursor"]
    for number in range(MAX_LINES + 10):
        tail.append(f"{number:04}")
    read = tail.read(cursor, 1, MAX_BYTES)
    assert (read["reset"], read["skippedBytes"], read["lines"]) == (True, 10 * len("0000\n"), ["0010"])
    assert "reset" not in tail.read(read["cursor"], **ALL)


def test_a_cursor_of_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins with the oldest line here, whether it had seen more lines or fewer; what it missed nobody knows."""
    tail = filled("one", "two")
    old = tail.read(None, **ALL)["cursor"]
    later = time.time() + 60
    monkeypatch.setattr("time.time", lambda: later)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    for cursor in (0, old - 1, old, 2**53 - 1):
        read = tail.read(cursor, **ALL)
        assert (read["reset"], read["lines"]) == (True, ["one", "two"])
        assert "skippedBytes" not in read
    assert "reset" not in tail.read(read["cursor"], **ALL)


def test_a_cursor_within_a_line() -> None:
    """It goes on with the next whole line."""
    tail = filled("one", "two", "three")
    end = tail.read(None, **ALL)["cursor"]
    assert tail.read(end - len("three\n") - 1, **ALL)["lines"] == ["three"]


def test_what_is_kept_is_bounded() -> None:
    """In lines, in bytes, and in the length of one line."""
    tail = LogTail()
    for _ in range(MAX_LINES + 1):
        tail.append("")
    assert len(tail.read(None, **ALL)["lines"]) == MAX_LINES
    for _ in range(100):
        tail.append("é" * (MAX_LINE + 5))
    kept = tail.read(None, **ALL)["lines"]
    assert set(kept) == {"é" * MAX_LINE + "…"}
    assert MAX_BYTES / 2 < sum(len(line.encode()) + 1 for line in kept) <= MAX_BYTES


def test_a_line_longer_than_what_is_asked_for() -> None:
    """Its beginning comes, in whole letters, and the reader goes on behind it."""
    tail = LogTail()
    cursor = tail.read(None, **ALL)["cursor"]
    tail.append("éé")
    tail.append("next")
    read = tail.read(cursor, 10, 3)
    assert read["lines"] == ["é"]
    assert tail.read(read["cursor"], 10, 100)["lines"] == ["next"]
    assert tail.read(None, 1, 2)["lines"] == ["ne"]
