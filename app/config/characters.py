"""Sets of characters, as ranges of their numbers, with those that JavaScript's regular expressions have names for."""

from __future__ import annotations

import sys

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
_BEYOND_ASCII = (0x80, sys.maxunicode)
_FROM_LOWER_TO_UPPER = -32


def complement(ranges: Ranges) -> Ranges:
    """Every other character."""
    found, begin = [], 0
    for low, high in sorted(ranges):
        if low > begin:
            found.append((begin, low - 1))
        begin = max(begin, high + 1)
    return (*found, (begin, sys.maxunicode)) if begin <= sys.maxunicode else tuple(found)


def overlap(some: Ranges, others: Ranges) -> bool:
    """Whether a character is in both."""
    return any(low <= last and first <= high for low, high in some for first, last in others)


def either_case(ranges: Ranges) -> Ranges:
    """With the other case of each letter; whoever has one character beyond ASCII has them all."""
    more: list[tuple[int, int]] = []
    for low, high in ranges:
        for first, last, distance in ((0x61, 0x7A, _FROM_LOWER_TO_UPPER), (0x41, 0x5A, -_FROM_LOWER_TO_UPPER)):
            if low <= last and first <= high:
                more.append((max(low, first) + distance, min(high, last) + distance))
        if high > 0x7F:
            more.append(_BEYOND_ASCII)
    return (*ranges, *more)


def written(ranges: Ranges) -> str:
    """What stands between the brackets of a set in a regular expression of Python."""
    return "".join(f"\\U{low:08x}-\\U{high:08x}" if low != high else f"\\U{low:08x}" for low, high in ranges)
