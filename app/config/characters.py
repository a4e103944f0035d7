"""Sets of characters, as ranges of their numbers, with those that JavaScript's regular expressions have names for."""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from functools import cache, lru_cache

# First and last of each range; they may overlap and come in any order.
Ranges = tuple[tuple[int, int], ...]

ANY: Ranges = ((0, sys.maxunicode),)
DIGITS: Ranges = ((0x30, 0x39),)
WORDS: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
LINE_ENDS: Ranges = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
SPACES: Ranges = (
    (0x09, 0x0D),
    (0x20, 0x20),
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
    (0xFEFF, 0xFEFF),
)
# Beyond it no character has another case.
_LAST_OF_CASES = 0x1FFFF


def complement(ranges: Ranges) -> Ranges:
    """Every other character."""
    found, begin = [], 0
    for low, high in _joined(ranges):
        found.append((begin, low - 1))
        begin = high + 1
    found.append((begin, sys.maxunicode))
    return tuple((low, high) for low, high in found if low <= high)


def _joined(ranges: Ranges) -> Ranges:
    """The same characters, in their order."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def overlap(some: Ranges, others: Ranges) -> bool:
    """Whether a character is in both."""
    return any(low <= last and first <= high for low, high in some for first, last in others)


@lru_cache(maxsize=1000)
def either_case(ranges: Ranges) -> Ranges:
    """With the other cases of each letter, as JavaScript has them: of no ASCII letter one is beyond ASCII."""
    letters, others = _cases()
    more = [
        (other, other)
        for low, high in ranges
        for letter in letters[bisect_left(letters, low) : bisect_right(letters, high)]
        for other in others[letter]
    ]
    return _joined((*ranges, *more))


@cache
def _cases() -> tuple[list[int], dict[int, list[int]]]:
    """The letters that have another case, in their order, and for each all that are the same letter."""
    same: dict[str, list[int]] = {}
    for code in range(_LAST_OF_CASES):
        upper = chr(code).upper()
        if len(upper) > 1 or (code >= 0x80 and upper.isascii()):
            upper = chr(code)
        same.setdefault(upper, []).append(code)
    others = {code: codes for codes in same.values() if len(codes) > 1 for code in codes}
    return sorted(others), others


def written(ranges: Ranges) -> str:
    """What stands between the brackets of a set in a regular expression of Python."""
    return "".join(f"\\U{low:08x}-\\U{high:08x}" if low != high else f"\\U{low:08x}" for low, high in ranges)
