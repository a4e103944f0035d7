"""Regular expressions as OpenClaw's files have them, which are JavaScript's, read for Python's ``re``.

Every construct is read and written anew, so that what both languages know means here what it means there: ``\\w`` is
ASCII, ``$`` is the very end, ``[^]`` is any character. What Python lacks is refused, and so is a pattern that may match
a text in countless ways: nothing can stop Python once it has begun.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from itertools import combinations

from app.config.characters import (
    ANY,
    DIGITS,
    LINE_ENDS,
    SPACES,
    WORDS,
    Ranges,
    complement,
    either_case,
    overlap,
    written,
)

MAX_LENGTH = 500
MAX_DEPTH = 30

_SLASHED = re.compile(r"/(.+)/([gimsuy]*)")
_COUNTED = re.compile(r"\{(\d{1,9})(,?)(\d{0,9})\}", re.ASCII)
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)>")
_NUMBER = re.compile(r"[1-9][0-9]?")
_LOW_HALF = re.compile(r"\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_SETS = {"d": DIGITS, "w": WORDS, "s": SPACES}
_CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_ENDS_OF_LINES = f"[{written(LINE_ENDS)}]"
_NOTHING = "(?!)"
_SYNTAX = "^$\\.*+?()[]{}|/-"
# In how many ways a part may match: in one, in a few, in as many as there are characters, in more.
_ONE, _FEW, _MANY, _MORE = range(4)
# How often at most each of those may be repeated.
_REPEATED = {_FEW: 9, _MANY: 3, _MORE: 1}


class BadPattern(ValueError):
    """The pattern can't be read; the message says why, and in a pattern that is long where."""


def read_pattern(text: str) -> re.Pattern[str]:
    """``/pattern/flags``, or the bare pattern, which ignores case as OpenClaw's does. Raises BadPattern.

    Of the flags, g and y change nothing: every match counts, wherever it is.
    """
    if len(text) > MAX_LENGTH:
        raise BadPattern(f"it has more than {MAX_LENGTH} characters")
    slashed = _SLASHED.fullmatch(text)
    source, flags = slashed.groups() if slashed else (text, "i")
    if len(set(flags)) < len(flags):
        raise BadPattern("a flag stands twice")
    read = _Reader(source.strip(), flags).all()
    if not read.shortest:
        raise BadPattern("it matches the empty text")
    try:
        return re.compile(read.text)
    except re.error as error:
        raise BadPattern(f"Python has no such thing: {error.msg}") from None
    except (OverflowError, RecursionError):
        raise BadPattern("it is too large for Python") from None


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a pattern.

    text: for Python. shortest: how many characters it matches at least. first: those that it may begin with, None where
    that isn't known. ways: in how many it may match one text.
    """

    text: str
    shortest: int = 0
    first: Ranges | None = None
    ways: int = _ONE
    repeatable: bool = True


class _Reader:
    """Reads one pattern from left to right."""

    def __init__(self, source: str, flags: str) -> None:
        self._source = source
        self._flags = flags
        self._any_case = "i" in flags
        self._at = 0
        self._depth = 0

    def all(self) -> _Part:
        """The whole pattern. Raises BadPattern."""
        read = self._alternatives()
        if self._at < len(self._source):
            raise self._bad("a ) without its (")
        return read

    def _alternatives(self) -> _Part:
        branches = [self._sequence()]
        while self._take("|"):
            branches.append(self._sequence())
        if len(branches) == 1:
            return branches[0]
        firsts = [branch.first for branch in branches]
        apart = not any(one is None or other is None or overlap(one, other) for one, other in combinations(firsts, 2))
        return _Part(
            "|".join(branch.text for branch in branches),
            min(branch.shortest for branch in branches),
            sum((first or () for first in firsts), ()) if all(branch.shortest for branch in branches) else None,
            max(_ONE if apart else _FEW, *(branch.ways for branch in branches)),
        )

    def _sequence(self) -> _Part:
        parts = []
        while self._at < len(self._source) and self._source[self._at] not in "|)":
            parts.append(self._repeated(self._one()))
        # What looks around takes nothing, so what follows it is still the first.
        taking = next((part for part in parts if part.repeatable), None)
        return _Part(
            "".join(part.text for part in parts),
            sum(part.shortest for part in parts),
            taking.first if taking and taking.shortest else None,
            max((part.ways for part in parts), default=_ONE),
        )

    def _repeated(self, part: _Part) -> _Part:
        """The part with the quantifier that follows it, if one does."""
        begin = self._at
        if self._take("*"):
            least, most = 0, sys.maxsize
        elif self._take("+"):
            least, most = 1, sys.maxsize
        elif self._take("?"):
            least, most = 0, 1
        elif counted := _COUNTED.match(self._source, self._at):
            self._at = counted.end()
            least = int(counted[1])
            most = least if not counted[2] else int(counted[3] or sys.maxsize)
        else:
            return part
        quantifier = self._source[begin : self._at]
        lazy = "?" if self._take("?") else ""
        if not part.repeatable or self._peek() in ("*", "+", "?") or _COUNTED.match(self._source, self._at):
            raise self._bad("nothing to repeat", begin)
        if most > _REPEATED.get(part.ways, sys.maxsize):
            raise self._bad("a repetition of what may match in several ways, which could take for ever", begin)
        ways = part.ways
        if ways == _ONE and least != most:
            ways = _FEW if most <= _REPEATED[_FEW] else _MANY
        elif ways != _ONE and most > 1:
            ways += 1
        return replace(part, text=part.text + quantifier + lazy, shortest=part.shortest * least, ways=ways)

    def _one(self) -> _Part:
        begin = self._at
        sign = self._next()
        if sign == "(":
            return self._group(begin)
        if sign == "[":
            return self._class(begin)
        if sign == "\\":
            return self._escape(begin)
        if sign == ".":
            return self._set(ANY if "s" in self._flags else complement(LINE_ENDS))
        if sign == "^":
            return _Part(rf"(?:\A|(?<={_ENDS_OF_LINES}))" if "m" in self._flags else r"\A", repeatable=False)
        if sign == "$":
            return _Part(rf"(?=\Z|{_ENDS_OF_LINES})" if "m" in self._flags else r"\Z", repeatable=False)
        if sign in "*+?" or (sign == "{" and _COUNTED.match(self._source, begin)):
            raise self._bad("nothing to repeat", begin)
        if "u" in self._flags and sign in "{}]":
            raise self._bad(f"a {sign} without a \\ before it", begin)
        return self._set(((ord(sign), ord(sign)),))

    def _group(self, begin: int) -> _Part:
        opening, looks = "(", False
        if self._take("?"):
            kind = next((kind for kind in (":", "=", "!", "<=", "<!", "<") if self._take(kind)), None)
            name = _NAME.match(self._source, self._at) if kind == "<" else None
            if kind is None or (kind == "<" and name is None):
                raise self._bad("a group that can't be read", begin)
            if name:
                self._at = name.end()
            opening = f"(?P<{name[1]}>" if name else f"(?{kind}"
            looks = kind not in (":", "<")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._bad(f"more than {MAX_DEPTH} groups in one another", begin)
        inner = self._alternatives()
        self._depth -= 1
        if not self._take(")"):
            raise self._bad("a ( without its )", begin)
        text = f"{opening}{inner.text})"
        return _Part(text, ways=inner.ways, repeatable=False) if looks else replace(inner, text=text, repeatable=True)

    def _class(self, begin: int) -> _Part:
        negated = self._take("^")
        ranges: Ranges = ()
        while not self._take("]"):
            low = self._class_item(begin)
            if self._peek() != "-" or self._source[self._at + 1 : self._at + 2] in ("]", ""):
                ranges += low
                continue
            self._at += 1
            high = self._class_item(begin)
            if _is_one(low) and _is_one(high):
                if low[0][0] > high[0][0]:
                    raise self._bad("a range that ends before it begins", begin)
                ranges += ((low[0][0], high[0][0]),)
            elif "u" in self._flags:
                raise self._bad("a range of what is no character", begin)
            else:
                ranges += (*low, *high, (ord("-"), ord("-")))
        return self._set(ranges, negated)

    def _class_item(self, begin: int) -> Ranges:
        if self._at == len(self._source):
            raise self._bad("a [ without its ]", begin)
        sign = self._next()
        if sign != "\\":
            return ((ord(sign), ord(sign)),)
        letter = self._peek()
        if letter.lower() in _SETS and letter:
            self._at += 1
            return _SETS[letter] if letter in _SETS else complement(_SETS[letter.lower()])
        if self._take("b"):
            return ((8, 8),)
        code = self._character(self._at - 1)
        return ((code, code),)

    def _escape(self, begin: int) -> _Part:
        letter = self._peek()
        if letter.lower() in _SETS and letter:
            self._at += 1
            return self._set(_SETS[letter.lower()], letter not in _SETS)
        if letter in ("b", "B"):
            self._at += 1
            return _Part(rf"(?a:\{letter})", repeatable=False)
        if number := _NUMBER.match(self._source, self._at):
            self._at = number.end()
            return self._reference(number[0], rf"\{number[0]}")
        if self._take("k<"):
            name = _NAME.match(self._source, self._at)
            if name is None:
                raise self._bad("a name that can't be read", begin)
            self._at = name.end()
            return self._reference(name[1], f"(?P={name[1]})")
        code = self._character(begin)
        return self._set(((code, code),))

    def _reference(self, group: str, again: str) -> _Part:
        """What a group has matched. Of one that took no part JavaScript asks nothing."""
        return _Part(f"(?{'i' * self._any_case}:(?({group}){again}))")

    def _character(self, begin: int) -> int:
        """The one character that an escape stands for, from behind its backslash on."""
        if self._at == len(self._source):
            raise self._bad("a \\ at the end")
        letter = self._next()
        if letter in _CONTROLS:
            return _CONTROLS[letter]
        if letter == "0" and not self._peek().isdigit():
            return 0
        if letter == "x":
            return self._hexadecimal(r"([0-9a-fA-F]{2})", begin)
        if letter == "u" and "u" in self._flags and self._peek() == "{":
            return self._hexadecimal(r"\{0*([0-9a-fA-F]{1,6})\}", begin)
        if letter == "u":
            return self._utf16(begin)
        if letter == "c" and re.match("[A-Za-z]", self._peek()):
            return ord(self._next()) % 32
        # Any other sign stands for itself, unless flag u forbids it. Of these JavaScript says so only by the way.
        if letter in "cpPk" or letter.isdigit() or ("u" in self._flags and letter not in _SYNTAX):
            raise self._bad(f"\\{letter} can't be read", begin)
        return ord(letter)

    def _utf16(self, begin: int) -> int:
        """A character written as one ``uXXXX`` or as a pair of them."""
        high = self._hexadecimal("([0-9a-fA-F]{4})", begin)
        pair = _LOW_HALF.match(self._source, self._at)
        if not 0xD800 <= high < 0xDC00 or not pair:
            return high
        self._at = pair.end()
        return 0x10000 + (high - 0xD800) * 0x400 + int(pair[1], 16) - 0xDC00

    def _hexadecimal(self, pattern: str, begin: int) -> int:
        digits = re.compile(pattern).match(self._source, self._at)
        if not digits or (code := int(digits[1], 16)) > sys.maxunicode:
            raise self._bad("an escape without its digits", begin)
        self._at = digits.end()
        return code

    def _set(self, ranges: Ranges, negated: bool = False) -> _Part:
        """One character of a set, or one that is not in it."""
        if not ranges:
            return _Part(rf"[{written(ANY)}]" if negated else _NOTHING, 1, ANY if negated else ())
        if self._any_case:
            # Not left to Python, for which K and the sign of the kelvin are one letter: \W would take every k.
            ranges = either_case(ranges)
        text = re.escape(chr(ranges[0][0])) if _is_one(ranges) and not negated else None
        first = complement(ranges) if negated else ranges
        return _Part(text or f"[{'^' * negated}{written(ranges)}]", 1, first)

    def _peek(self) -> str:
        return self._source[self._at : self._at + 1]

    def _next(self) -> str:
        sign = self._source[self._at]
        self._at += 1
        return sign

    def _take(self, wanted: str) -> bool:
        """Whether this comes next; it is then behind us."""
        found = self._source.startswith(wanted, self._at)
        self._at += len(wanted) * found
        return found

    def _bad(self, reason: str, at: int | None = None) -> BadPattern:
        return BadPattern(f"{reason}, at character {(self._at if at is None else at) + 1}")


def _is_one(ranges: Ranges) -> bool:
    return len(ranges) == 1 and ranges[0][0] == ranges[0][1]
