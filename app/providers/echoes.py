"""A provider's words without the gateway's keys, whole, in part or encoded."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

HIDDEN = "***"
# Characters that a key and a text must have in common: whatever they are, where they are such as nobody writes, and
# where the text has a word of them alone.
ALIKE, ODD, ALONE = 12, 8, 4
# Characters of the text that are looked at; more of them are never told.
MOST = 16_000

_WORD = re.compile(r"[A-Za-z0-9_-]+")
# A key of which a part is left out, as in ``sk-abc***xyz``.
# A word is tried from its beginning only, or a long one would cost its square.
_SHORTENED = re.compile(r"(?:(?<![A-Za-z0-9_-])([A-Za-z0-9_-]+))?(?:[*\u2022\u2026]+|\.{3,}|[xX]{3,})([A-Za-z0-9_-]*)")
_BASE64 = "A-Za-z0-9+/_-"
_ALPHABETS = {"+": "[+-]", "/": "[/_]"}


class _Key(NamedTuple):
    """One key. written: finds all of it, in whatever encoding. parts: what of it must not stand in a text."""

    key: str
    written: re.Pattern[str]
    parts: frozenset[str]


def without_keys(text: str, keys: Sequence[str]) -> str:
    """The text with each key of the gateway's hidden, and what is left of one that the provider shortened."""
    text = text[:MOST]
    for key in keys:
        text = text.replace(key, HIDDEN)
        if len(key) >= ODD:
            text = _without(text, _known(key))
    return text


def _without(text: str, known: _Key) -> str:
    text = known.written.sub(HIDDEN, text)
    text = _SHORTENED.sub(lambda found: HIDDEN if _is_shortened(found, known.key) else found[0], text)
    text = _WORD.sub(lambda found: HIDDEN if _is_end(found[0], known.key) else found[0], text)
    return _without_parts(text, known.parts)


@lru_cache(maxsize=64)
def _known(key: str) -> _Key:
    forms = ["".join(map(_encoded, key)), key.encode().hex(), *_in_base64(key)]
    parts = {part for start in range(len(key)) if _is_odd(part := key[start : start + ODD])}
    parts |= {key[start : start + ALIKE] for start in range(len(key) - ALIKE + 1)}
    return _Key(key, re.compile("|".join(forms), re.IGNORECASE), frozenset(parts))


def _encoded(character: str) -> str:
    """Finds a character as it is, percent-encoded however often, or as JSON or HTML may write it."""
    number = ord(character)
    percent = "".join(f"%(?:25)*{byte:02x}" for byte in character.encode())
    return rf"(?:{re.escape(character)}|{percent}|\\u{number:04x}|&\#(?:{number}|x0*{number:x});)"


def _in_base64(key: str) -> Iterator[str]:
    """Finds the key in base64, wherever in what was encoded it stands, and what is written around it."""
    for before in range(3):
        written = b64encode(bytes(before) + key.encode()).decode().rstrip("=")
        # Characters at either end hold bits of what stands beside it.
        core = written[(before * 8 + 5) // 6 : (before + len(key.encode())) * 8 // 6]
        either = "".join(_ALPHABETS.get(character, character) for character in core)
        yield f"(?:(?<![{_BASE64}])[{_BASE64}]*)?{either}[{_BASE64}]*={{0,2}}"


def _is_shortened(found: re.Match[str], key: str) -> bool:
    begin, end = found.groups(default="")
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
    hidden = bytearray(len(text))
    for length in (ODD, ALIKE):
        for start in range(len(text) - length + 1):
            if text[start : start + length] in parts:
                hidden[start : start + length] = b"\1" * length
    if not any(hidden):
        return text
    pieces, done = [], 0
    for stretch in re.finditer(b"\1+", bytes(hidden)):
        pieces += [text[done : stretch.start()], HIDDEN]
        done = stretch.end()
    return "".join((*pieces, text[done:]))
