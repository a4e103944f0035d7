"""Text files that callers send beside what they say, in base64."""

from __future__ import annotations

import binascii
import re
from typing import Any

from app.concurrency.slices import Slices

# The last characters of a file's name that count.
MAX_NAME = 200
# Characters of base64 that are looked through before others may have their turn: 0.5 ms.
BLOCK = 256 * 1024

_BASE64 = re.compile(r"[A-Za-z0-9+/]*")
_MEDIA_TYPE = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,60}", re.ASCII)
# What programs say that don't know it.
_ANYTHING = "application/octet-stream"
_TEXT = re.compile(r"text/.+|application/(.+\+)?(json|xml|yaml)|application/(javascript|sql|toml|x-(ndjson|sh|yaml))")
# By their names, for clients that don't know the type, or take a .ts for a video.
_TEXT_NAME = re.compile(
    r"(.*\.)?(txt|text|md|markdown|rst|adoc|tex|log|diff|patch|csv|tsv|jsonl?|ndjson|json5|xml|ya?ml|toml|ini|cfg|conf|env|"
    r"properties|html?|s?css|less|[cm]?js|jsx|tsx?|vue|svelte|pyi?|ipynb|rb|php|pl|lua|r|jl|java|kts?|scala|groovy|gradle|"
    r"go|rs|c|h|cc|cpp|cxx|hpp|cs|m|swift|dart|exs?|erl|hs|ml|clj|lisp|el|sh|bash|zsh|fish|ps1|bat|sql|graphql|proto|tf|"
    r"hcl|nix|cmake|dockerfile|makefile|gitignore|editorconfig|srt|vtt|ics)",
    re.I | re.S,
)


class BadFile(Exception):
    """The message says what is wrong with it: ``must be …``, ``is …``."""


def taken_apart(content: Any) -> tuple[str, str]:
    """The media type, if it is a ``data:`` URL, and the base64. Raises BadFile when there is none."""
    if not isinstance(content, str):
        raise BadFile("must be a string, the file in base64")
    head, data = "", content.strip()
    if data[:5].lower() == "data:":
        head, _, data = data[5:].partition(",")
        if not head.lower().endswith(";base64"):
            raise BadFile("must be in base64: data:<type>;base64,")
    if not data:
        raise BadFile("must not be empty")
    return head, data


def media_type(said: str) -> str:
    """It without its parameters; empty where it says nothing."""
    kind = said.partition(";")[0].strip().lower()
    return kind if kind != _ANYTHING and _MEDIA_TYPE.fullmatch(kind) else ""


def is_text(kind: str, name: str) -> bool:
    """By its media type or its name."""
    return bool(_TEXT.fullmatch(kind) or _TEXT_NAME.fullmatch(name))


def check_base64(data: str) -> None:
    """Cooperative. Raises BadFile."""
    slices = Slices()
    end = len(data) - data[-2:].count("=")
    for begin in range(0, end, BLOCK):
        if not _BASE64.fullmatch(data, begin, min(begin + BLOCK, end)):
            raise BadFile("is not base64: it has other characters")
        slices.end()
    if len(data) % 4:
        raise BadFile("is not base64: its length is no multiple of 4")


def text(data: str, most: int) -> str:
    """The text in UTF-8 that the base64 holds. most: characters. Cooperative. Raises BadFile."""
    # A character has four bytes at most, and three bytes are four of base64.
    if len(data) <= 6 * most:
        check_base64(data)
        try:
            decoded = binascii.a2b_base64(data).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise BadFile("is no text in UTF-8") from None
        if len(decoded) <= most:
            return decoded
    raise BadFile(f"must have {most:,} characters at most")


def shown(text: str, name: str, number: int) -> str:
    """What a model reads of a file. number: what it is called where it has no name."""
    # A name that can't be taken for anything else: one line, no folder, no bracket.
    last = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(letter for letter in last if letter.isprintable() and letter not in "[]").strip()
    return f"[Attached file {plain or number}]\n{text}"
