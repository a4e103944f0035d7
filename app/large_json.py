"""Large JSON, read in steps: orjson reads 20 MB in one go, and nobody else has a turn for as long as that takes.

orjson reads all of it here, too, in pieces of whole members: those that are found to end within a step are given to it
together, what is larger is entered. So what is valid, and what is said of what isn't, is the same as for small texts.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from typing import Any

import orjson

from app import json_text
from app.concurrency.slices import give_way

# Bytes that are read until others have their turn: 1 to 4 ms.
STEP = 256 * 1024
# Bytes that a byte of it takes once it is read, at least in most texts.
SIZE_READ = 4
# Members of a list that are written at once.
LIST_STEP = 1000
# orjson's own.
MAX_DEPTH = 1024

_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
# Matched from a place outside of strings, never searched for: a search would begin anew at each letter.
_TO_BRACKET = re.compile(rb'[^"\[\]{}]*(?:%b[^"\[\]{}]*)*[\[\]{}]' % _STRING, re.DOTALL)
_TO_COMMA = re.compile(rb'(?:[^",]*(?:%b[^",]*)*,){1,100}' % _STRING, re.DOTALL)
_SPACE = re.compile(rb"[ \t\n\r]*")
_FIRST_HALF = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}")

_QUOTE, _BACKSLASH, _COMMA, _COLON = b'"\\,:'
_OPEN_LIST, _CLOSE_LIST, _OPEN_OBJECT, _CLOSE_OBJECT = b"[]{}"


def loads(text: bytes) -> Any:
    """As ``json_text.loads``. Cooperative where the text is large. Raises MemoryError where there is no room for it."""
    if len(text) <= STEP:
        return json_text.loads(text)
    # Where there is not even room for it, orjson ends the process.
    try:
        mmap.mmap(-1, SIZE_READ * len(text)).close()
    except OSError:
        raise MemoryError from None
    start = _after_space(text, 0)
    if text[start : start + 1] not in (b"{", b"["):
        return json_text.loads(text)
    return _Reading(text).document(start)


def pieces(value: Any, levels: int = 3) -> Iterator[bytes]:
    """What ``orjson.dumps`` makes of a value with its names sorted, part by part, so that others may have their turn.

    levels: in which a large list is taken apart. Raises TypeError for what can't be written.
    """
    if levels and isinstance(value, dict):
        yield b"{"
        for index, name in enumerate(sorted(value)):
            yield b"," * (index > 0) + orjson.dumps(name) + b":"
            yield from pieces(value[name], levels - 1)
        yield b"}"
    elif levels and isinstance(value, list) and len(value) > LIST_STEP:
        yield b"["
        for start in range(0, len(value), LIST_STEP):
            part = orjson.dumps(value[start : start + LIST_STEP], option=orjson.OPT_SORT_KEYS)
            yield b"," * (start > 0) + part[1:-1]
        yield b"]"
    elif levels and isinstance(value, list):
        yield b"["
        for index, each in enumerate(value):
            yield b"," * (index > 0)
            yield from pieces(each, levels - 1)
        yield b"]"
    else:
        yield orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


class _Open:
    """A list or object that is being read."""

    __slots__ = ("brackets", "close", "items", "key")

    def __init__(self, opening: int) -> None:
        self.items: Any = {} if opening == _OPEN_OBJECT else []
        self.brackets = (b"{", b"}") if opening == _OPEN_OBJECT else (b"[", b"]")
        self.close = self.brackets[1][0]
        # Of the member whose value comes next, in an object.
        self.key = ""

    @property
    def is_object(self) -> bool:
        return self.close == _CLOSE_OBJECT

    def add(self, value: Any) -> None:
        if self.is_object:
            self.items[self.key] = value
        else:
            self.items.append(value)

    def add_all(self, read: Any) -> None:
        if self.is_object:
            self.items.update(read)
        else:
            self.items += read


class _Level:
    """What is known of a list or object that is not whole within a step.

    start: where it is read on. entered: where its member begins that is not whole, or the step's end; ``holds_entered``
    tells them apart. end: of its last whole member that is a list or an object.
    """

    __slots__ = ("end", "entered", "holds_entered", "start")

    def __init__(self, start: int, limit: int) -> None:
        self.start = self.end = start
        self.entered = limit
        self.holds_entered = False


class _Reading:
    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0
        self._levels: dict[int, _Level] = {}
        self._since_turn = 0

    def document(self, start: int) -> Any:
        text = self._text
        stack = [_Open(text[start])]
        self._at = start + 1
        is_empty = True
        while True:
            around = stack[-1]
            at = self._skip()
            if not (is_empty and text[at : at + 1] == around.brackets[1]):
                if (opened := self._member(around, len(stack))) is not None:
                    stack.append(opened)
                    is_empty = True
                    continue
                at = self._skip()
            # Behind a member, or at the end of what has none.
            while text[at : at + 1] == around.brackets[1]:
                self._at = at + 1
                stack.pop()
                at = self._skip()
                if not stack:
                    if at < len(text):
                        self._fail(b"{}", at)
                    return around.items
                inner, around = around, stack[-1]
                around.add(inner.items)
            if text[at : at + 1] != b",":
                self._fail(b'{"":0' if around.is_object else b"[0", at)
            self._at = at + 1
            is_empty = False

    def _member(self, around: _Open, depth: int) -> _Open | None:
        """Read members as far as they are whole within a step; else one, or its beginning."""
        text, at = self._text, self._at
        end = self._whole(at, depth)
        if end > at:
            opening, closing = around.brackets
            around.add_all(self._loads(opening, at, end, closing, depth))
            return None
        if around.is_object:
            around.key = self._string(b"{", b":0}")
            at = self._skip()
            if text[at : at + 1] != b":":
                self._fail(b'{""', at)
            self._at = at + 1
            at = self._skip()
        first = text[at : at + 1]
        if first in (b"{", b"["):
            if depth >= MAX_DEPTH:
                raise _error("depth limit exceeded", text, at)
            self._at = at + 1
            return _Open(first[0])
        if first == b'"':
            around.add(self._string(b"", b""))
        else:
            # No number is that long.
            self._loads(b"", at, at + STEP, b"", 0)
            raise _error("unexpected character", text, at)
        return None

    def _whole(self, start: int, depth: int) -> int:
        """Where the last member ends that is whole within a step from ``start``; ``start`` where none is.

        One look over a step serves all levels that are entered in it.
        """
        level = self._levels.get(depth)
        if level is None or not level.start <= start <= level.entered or not (level.holds_entered or start < level.end):
            level = self._look(start, depth)
        if start < level.end:
            return level.end
        if self._text.find(b'"', start, level.entered) < 0:
            return max(self._text.rfind(b",", start, level.entered), start)
        at = end = start
        while (match := _TO_COMMA.match(self._text, at, level.entered)) is not None:
            at = match.end()
            end = at - 1
        return end

    def _look(self, start: int, depth: int) -> _Level:
        text, limit = self._text, min(start + STEP, len(self._text))
        levels = [_Level(start, limit)]
        at = start
        while (match := _TO_BRACKET.match(text, at, limit)) is not None:
            at = match.end()
            if text[at - 1] in (_OPEN_OBJECT, _OPEN_LIST):
                if depth + len(levels) > MAX_DEPTH:
                    raise _error("depth limit exceeded", text, at)
                levels[-1].entered, levels[-1].holds_entered = at - 1, True
                levels.append(_Level(at, limit))
            elif len(levels) > 1:
                levels.pop()
                levels[-1].end, levels[-1].entered, levels[-1].holds_entered = at, limit, False
            else:
                levels[0].end = levels[0].entered = at - 1
                break
        self._levels = dict(enumerate(levels, depth))
        give_way()
        return levels[0]

    def _string(self, before: bytes, behind: bytes) -> str:
        """The string that begins here, in pieces. before, behind: what makes a document of it, for its faults."""
        text, start = self._text, self._at
        if text[start : start + 1] != b'"':
            self._fail(before, start)
        end = start
        while True:
            end = text.find(b'"', end + 1)
            if end < 0:
                self._fail(before + b'"', len(text))
            # A quote is the end behind an even number of backslashes.
            if text[end - 1] != _BACKSLASH or _backslashes(text, start + 1, end) % 2 == 0:
                break
        pieces: list[str] = []
        at = start + 1
        while at < end or not pieces:
            cut = end if end - at <= STEP else _cut(text, at, at + STEP)
            pieces.append(self._loads(b'"', at, cut, b'"', 0))
            at = cut
        self._at = end + 1
        return "".join(pieces)

    def _loads(self, before: bytes, start: int, end: int, behind: bytes, depth: int) -> Any:
        """What stands there, as orjson reads it between ``before`` and ``behind``; they stand for so many levels."""
        more = max(depth - 1, 0)
        try:
            read = json_text.loads(b"[" * more + before + self._text[start:end] + behind + b"]" * more)
        except orjson.JSONDecodeError as error:
            raise _error(error.msg, self._text, start, error.pos - more - len(before)) from None
        for _ in range(more):
            read = read[0]
        self._at = end
        self._since_turn += end - start
        if self._since_turn >= STEP // 2:
            self._since_turn = 0
            give_way()
        return read

    def _skip(self) -> int:
        self._at = _after_space(self._text, self._at)
        return self._at

    def _fail(self, before: bytes, at: int) -> None:
        """Raise what orjson says of the letter that stands there behind ``before``."""
        try:
            orjson.loads(before + self._text[at : at + 1])
        except orjson.JSONDecodeError as error:
            raise _error(error.msg, self._text, at) from None
        raise _error("unexpected character", self._text, at)


def _after_space(text: bytes, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()


def _backslashes(text: bytes, start: int, end: int) -> int:
    """How many stand right before ``end``."""
    reach = max(start, end - 4096)
    part = text[reach:end]
    count = len(part) - len(part.rstrip(b"\\"))
    return count if count < len(part) or reach == start else count + _backslashes(text, start, reach)


def _cut(text: bytes, start: int, end: int) -> int:
    """The last place up to ``end`` where a string may be cut: between letters, escapes, and pairs of them."""
    last = text.rfind(b"\\", max(start, end - 12), end)
    if last < 0:
        while text[end] & 0xC0 == 0x80:  # in the middle of a letter of UTF-8
            end -= 1
        return end
    count = _backslashes(text, start, last + 1)
    if count > 1:
        return last + 1 - count % 2
    half = last - 6
    if half > start and _FIRST_HALF.match(text, half, last) and _backslashes(text, start, half + 1) % 2:
        return half
    return last


def _error(reason: str, text: bytes, at: int, more: int = 0) -> orjson.JSONDecodeError:
    """at: a place in bytes; more: letters from there."""
    before = (
        text[:at].decode(errors="replace") + text[at : at + 4 * max(more, 0)].decode(errors="replace")[: max(more, 0)]
    )
    position = len(before)
    line, column = before.count("\n") + 1, position - before.rfind("\n")
    error = orjson.JSONDecodeError(reason, "", position)
    error.args = (f"{reason}: line {line} column {column} (char {position})",)
    return error
