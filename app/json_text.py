"""JSON as others write it: strict but for half an emoji, which programs leave that cut texts at a fixed length."""

from __future__ import annotations

import re
from typing import Any

import orjson

# In this order: a backslash, a whole pair of surrogates, and a surrogate alone. Other escapes can't be taken for these.
_ESCAPES = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<alone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_ANY_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")

# Levels from which on it may be for them that there is no memory left.
DEEP = 100


def loads(text: str | bytes) -> Any:
    """What the JSON says, U+FFFD in the place of each surrogate that has no other half.

    Raises orjson.JSONDecodeError, a ValueError: for what is no JSON, NaN and Infinity, bytes that are not UTF-8, and
    more than 1024 levels. MemoryError where there is none left.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        # It says so of too many levels as well.
        if "memory" in error.msg and _levels(error.doc[: error.pos].encode(errors="replace")) < DEEP:
            raise MemoryError from None
        if isinstance(text, str):
            # Where the text was read leniently, surrogates stand in it unescaped.
            data = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
        elif _ANY_ESCAPE.search(text):
            data = text
        else:
            raise
    return orjson.loads(_ESCAPES.sub(_mended, data))


def _levels(before: bytes) -> int:
    """How many lists and objects are open behind this part of a text."""
    bare = _STRING.sub(b"", before)
    return bare.count(b"[") + bare.count(b"{") - bare.count(b"]") - bare.count(b"}")


def _mended(found: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if found["alone"] else found[0]
