"""A provider's words without the gateway's keys, whole, in part or encoded."""

from __future__ import annotations

import re
from base64 import b64encode
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

from app.config.secret_forms import hidden

HIDDEN = "***"
# Characters that a key and a text must have in common: whatever they are, where they are such as nobody writes, and
# where the text has a word of them alone.
ALIKE, ODD, ALONE = 12, 8, 4
# Characters of the text that are looked at; more of them are never told.
MOST = 16_000

_WORD = re.compile(r"[A-Za-z0-9_-]+")
# A key of which a part is left out, as in ``sk-abc***xyz``. Looked for from the beginning of a word alone: from each
# letter of a long one it would take seconds.
_SHORTENED = re.compile(r"(?:(?<![A-Za-z0-9_-])([A-Za-z0-9_-]*)|)(?:[*\u2022\u2026]+|\.{3,}|[xX]{3,})([A-Za-z0-9_-]*)")
# What may stand between two characters of a key that was wrapped, quoted in parts or spaced out.
_GAP = r"[\s\"'\u200b-\u200d\u2060\ufeff]+|(?<!\\)\\++[nrt](?![0-9a-z_])"
# A character in percent-encoding, however often, or as JSON, programs or HTML may write it; else what is left out.
_WRITTEN = re.compile(
    r"%(?:25)*([0-9a-f]{2})|(?<!\\)\\++(?:u00|x|u\{0*)([0-9a-f]{2})\}?|&(?:amp;)*#(?:x0*([0-9a-f]{2})|0*([0-9]{2,3}));"
    rf"|(?<!\\)\\++(?=[^\w\s\\])|{_GAP}|(?<!\\)\\++[nrt]",
    re.IGNORECASE,
)
_BETWEEN_HEX = re.compile(rf"{_GAP}|[:,;-]|(?:0|(?<!\\)\\++)x|(?<!\\)\\++[nrt]", re.IGNORECASE)
_BETWEEN_BASE64 = re.compile(rf"{_GAP}|(?<!\\)\\++[nrt]")
# As long as before, which ``lower`` does not promise.
_LOWER = str.maketrans({chr(code): chr(code).lower() for code in range(256) if chr(code).isupper()})
_NO_BASE64 = re.compile(r"[^A-Za-z0-9+/_-]")


class _Key(NamedTuple):
    """One key, and what of it must not stand in a text.

    written: all of it, forwards and backwards. hexadecimal, base64: likewise. All in lower case but base64.
    """

    key: str
    written: Sequence[bytes]
    hexadecimal: Sequence[bytes]
    base64: Sequence[bytes]
    parts: frozenset[str]


class _View(NamedTuple):
    """A text without what stands between the characters that are looked for.

    text: what is left, a byte for each character. at: where in it pieces begin. spans: from where to where in the whole
    text each piece stands, which is as long there or stands for one character.
    """

    text: bytes
    at: Sequence[int]
    spans: Sequence[tuple[int, int]]

    def places(self, sought: Sequence[bytes]) -> Iterator[tuple[int, int]]:
        """From where to where in the whole text each of these stands."""
        for each in sought:
            found = self.text.find(each)
            while found >= 0:
                end = found + len(each)
                yield self._span(found)[0], self._span(end - 1)[1]
                found = self.text.find(each, end)

    def _span(self, index: int) -> tuple[int, int]:
        piece = bisect_right(self.at, index) - 1
        start, end = self.spans[piece]
        length = (self.at[piece + 1] if piece + 1 < len(self.at) else len(self.text)) - self.at[piece]
        if length == end - start:
            start += index - self.at[piece]
            end = start + 1
        return start, end


def without_keys(text: str, keys: Sequence[str]) -> str:
    """The text with each key of the gateway's hidden, and what is left of one that the provider shortened."""
    text = text[:MOST]
    for key in keys:
        text = text.replace(key, HIDDEN).replace(quote(key, safe=""), HIDDEN)
        if len(key) >= ODD:
            text = _without(text, _known(key))
    return text


def _without(text: str, known: _Key) -> str:
    small = text.translate(_LOWER)
    places = [
        *_view(small, _WRITTEN, _character).places(known.written),
        *_view(small, _BETWEEN_HEX).places(known.hexadecimal),
        *(_all_of_base64(text, place) for place in _view(text, _BETWEEN_BASE64).places(known.base64)),
    ]
    if places:
        text = hidden(text, places, HIDDEN)
    text = _SHORTENED.sub(lambda found: HIDDEN if _is_shortened(found, known.key) else found[0], text)
    text = _WORD.sub(lambda found: HIDDEN if _is_end(found[0], known.key) else found[0], text)
    return _without_parts(text, known.parts)


@lru_cache(maxsize=64)
def _known(key: str) -> _Key:
    small = key.lower()
    # One that holds what looks like an encoding itself is read like the text.
    written = {small.encode("latin-1", "replace"), small.encode(), _view(small, _WRITTEN, _character).text}
    written = {each for each in written if len(each) >= ODD}
    base64 = [*_in_base64(key), *_in_base64(key[::-1])]
    hexadecimal = [key.encode().hex().encode(), key[::-1].encode().hex().encode()]
    parts = {part for start in range(len(key)) if _is_odd(part := key[start : start + ODD])}
    parts |= {key[start : start + ALIKE] for start in range(len(key) - ALIKE + 1)}
    return _Key(key, [*written, *(each[::-1] for each in written)], hexadecimal, base64, frozenset(parts))


def _view(text: str, special: re.Pattern[str], character: Callable[[re.Match[str]], str] = lambda _: "") -> _View:
    """The text with each ``special`` replaced by the one character that it stands for, or left out."""
    parts: list[str] = []
    at: list[int] = []
    spans: list[tuple[int, int]] = []
    size = done = 0
    for found in special.finditer(text):
        start, end = found.span()
        for part, span in ((text[done:start], (done, start)), (character(found), (start, end))):
            if part:
                parts.append(part)
                at.append(size)
                spans.append(span)
                size += len(part)
        done = end
    if done < len(text):
        parts.append(text[done:])
        at.append(size)
        spans.append((done, len(text)))
    return _View("".join(parts).encode("latin-1", "replace"), at, spans)


def _character(found: re.Match[str]) -> str:
    hexadecimal = found[1] or found[2] or found[3]
    if hexadecimal:
        return chr(int(hexadecimal, 16)).lower()
    return chr(min(int(found[4]), 255)).lower() if found[4] else ""


def _in_base64(key: str) -> Iterator[bytes]:
    """The key in base64, plain and for URLs, wherever in what was encoded it stands."""
    for before in range(3):
        written = b64encode(bytes(before) + key.encode()).rstrip(b"=")
        # Characters at either end hold bits of what stands beside it.
        core = written[(before * 8 + 5) // 6 : (before + len(key.encode())) * 8 // 6]
        yield from {core, core.translate(bytes.maketrans(b"+/", b"-_"))}


def _all_of_base64(text: str, place: tuple[int, int]) -> tuple[int, int]:
    """The place with all that is written in base64 around it."""
    begin, end = place
    before = _NO_BASE64.search(text[:begin][::-1])
    after = _NO_BASE64.search(text, end)
    end = after.start() if after else len(text)
    end += len(text[end : end + 2]) - len(text[end : end + 2].lstrip("="))
    return begin - before.start() if before else 0, end


def _is_shortened(found: re.Match[str], key: str) -> bool:
    begin, end = found[1] or "", found[2]
    return len(begin + end) > 1 and key.startswith(begin) and key.endswith(end)


def _is_end(word: str, key: str) -> bool:
    """Whether a word is the beginning or the end of the key, and no word that it is put together of."""
    if not ALONE <= len(word) < len(key):
        return False
    if key.startswith(word):
        cut = word[-1] + key[len(word)]
    elif key.endswith(word):
        cut = key[-len(word) - 1] + word[0]
    else:
        return False
    return cut.isalnum() or not word.replace("-", "").replace("_", "").isalpha()


def _is_odd(part: str) -> bool:
    return len(part) == ODD and (any(map(str.isdigit, part)) or not (part.islower() or part.isupper()))


def _without_parts(text: str, parts: frozenset[str]) -> str:
    """Each stretch hidden that is made of parts."""
    covered = bytearray(len(text))
    for length in (ODD, ALIKE):
        for start in range(len(text) - length + 1):
            if text[start : start + length] in parts:
                covered[start : start + length] = b"\1" * length
    if not any(covered):
        return text
    pieces, done = [], 0
    for stretch in re.finditer(b"\1+", bytes(covered)):
        pieces += [text[done : stretch.start()], HIDDEN]
        done = stretch.end()
    return "".join((*pieces, text[done:]))
