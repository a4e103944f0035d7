"""Attachments of a message: images, and text files, as parts of what the user says.

Source of their shape: ``ChatSendParams`` of the npm package ``@openclaw/gateway-protocol``.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import gevent

from app.config.settings import Images
from app.errors import InvalidRequest
from app.images.given import GivenImage, check, taken
from app.providers.stream import Message

MOST = 8
# Of one text file, and the last ones of its name.
MAX_CHARACTERS = 200_000
MAX_NAME = 200
# Characters of base64 that are looked through before others have their turn: 0.5 ms.
BLOCK = 256 * 1024

_BASE64 = re.compile(r"[A-Za-z0-9+/]*")
_MEDIA_TYPE = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,60}", re.ASCII)
# What programs say that don't know it.
_ANYTHING = "application/octet-stream"
# How images begin, in base64.
_BEGINNINGS = {"iVBORw0KGgo": "image/png", "/9j/": "image/jpeg", "R0lGOD": "image/gif", "UklGR": "image/webp"}
_TEXT = re.compile(r"text/.+|application/(.+\+)?(json|xml|yaml)|application/(javascript|sql|toml|x-(ndjson|sh|yaml))")
# By their names, for clients that don't know the type, or take a .ts for a video.
_TEXT_NAME = re.compile(
    r"(.*\.)?(txt|text|md|markdown|rst|adoc|tex|log|diff|patch|csv|tsv|jsonl?|ndjson|json5|xml|ya?ml|toml|ini|cfg|conf|env|"
    r"properties|html?|s?css|less|[cm]?js|jsx|tsx?|vue|svelte|pyi?|ipynb|rb|php|pl|lua|r|jl|java|kts?|scala|groovy|gradle|"
    r"go|rs|c|h|cc|cpp|cxx|hpp|cs|m|swift|dart|exs?|erl|hs|ml|clj|lisp|el|sh|bash|zsh|fish|ps1|bat|sql|graphql|proto|tf|"
    r"hcl|nix|cmake|dockerfile|makefile|gitignore|editorconfig|srt|vtt|ics)",
    re.I | re.S,
)


class Attachments:
    """The attachments of one message.

    given: ``{mimeType?, fileName?, content}``, content in base64 or as a ``data:`` URL; what else they say is not read.
    rules: what is taken of images. Cooperative. Raises InvalidRequest with the path of the first fault.
    """

    def __init__(self, given: Sequence[Mapping[str, Any]], rules: Images) -> None:
        if len(given) > MOST:
            raise InvalidRequest(f"attachments: must hold {MOST} at most", param="attachments")
        self._rules = rules
        self._parts: list[Message] = []
        # Paths of those that are images.
        self._places: list[str] = []
        for index, each in enumerate(given):
            self._add(each, index)

    def content(self, message: str) -> str | list[Message]:
        """What the user says, for an OpenAI chat message: the text alone, or content parts with the text first."""
        if not self._parts:
            return message
        # There are providers that refuse an empty text.
        text = [{"type": "text", "text": message}] if message.strip() else []
        return [*text, *self._parts]

    def preparation(self, said: Message) -> Callable[[], None] | None:
        """What looks into the images of ``said``, which has ``content``, see ``Turn.prepare``; None without images."""
        if not self._places:
            return None
        images = [part["image_url"] for part in said["content"] if part["type"] == "image_url"]
        found = [GivenImage(*each) for each in zip(self._places, images, strict=True)]
        return partial(check, found, self._rules, all_of="attachments")

    def _add(self, given: Mapping[str, Any], index: int) -> None:
        where = f"attachments[{index}].content"
        mime, name = _string(given, "mimeType", index), _string(given, "fileName", index)[-MAX_NAME:]
        declared, data = _taken_apart(given.get("content"), where)
        kind = _kind(declared, mime, data)
        if kind.startswith("image/"):
            image = {"url": f"data:{kind};base64,{data}"}
            GivenImage(where, image).check_form(self._rules)
            _check_base64(data, where)
            self._places.append(where)
            self._parts.append({"type": "image_url", "image_url": image})
        elif _TEXT.fullmatch(kind) or _TEXT_NAME.fullmatch(name):
            shown = _shown(name) or str(index + 1)
            self._parts.append({"type": "text", "text": f"[Attached file {shown}]\n{_text(data, where)}"})
        else:
            types = ", ".join(taken(self._rules))
            raise _refused(
                where, f"is {kind or 'of unknown type'}, which is not taken; images ({types}) and text files are"
            )


def _string(given: Mapping[str, Any], field: str, index: int) -> str:
    value = given.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _refused(f"attachments[{index}].{field}", "must be a string")
    return value


def _taken_apart(content: Any, where: str) -> tuple[str, str]:
    """The media type, if it is a ``data:`` URL, and the base64. Raises InvalidRequest when there is none."""
    if not isinstance(content, str):
        raise _refused(where, "must be a string, the file in base64")
    head, data = "", content.strip()
    if data[:5].lower() == "data:":
        head, _, data = data[5:].partition(",")
        if not head.lower().endswith(";base64"):
            raise _refused(where, "must be in base64: data:<type>;base64,")
    if not data:
        raise _refused(where, "must not be empty")
    return head, data


def _kind(declared: str, mime: str, data: str) -> str:
    """The media type, without parameters; empty when nobody knows it."""
    for said in (declared, mime):
        kind = said.partition(";")[0].strip().lower()
        if kind != _ANYTHING and _MEDIA_TYPE.fullmatch(kind):
            return kind
    return next((kind for beginning, kind in _BEGINNINGS.items() if data.startswith(beginning)), "")


def _check_base64(data: str, where: str) -> None:
    end = len(data) - data[-2:].count("=")
    for begin in range(0, end, BLOCK):
        if not _BASE64.fullmatch(data, begin, min(begin + BLOCK, end)):
            raise _refused(where, "is not base64: it has other characters")
        gevent.sleep(0)
    if len(data) % 4:
        raise _refused(where, "is not base64: its length is no multiple of 4")


def _text(data: str, where: str) -> str:
    # A character has four bytes at most, and three bytes are four of base64.
    if len(data) <= 6 * MAX_CHARACTERS:
        _check_base64(data, where)
        try:
            text = binascii.a2b_base64(data).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise _refused(where, "is no text in UTF-8") from None
        if len(text) <= MAX_CHARACTERS:
            return text
    raise _refused(where, f"must have {MAX_CHARACTERS:,} characters at most")


def _shown(name: str) -> str:
    """A name that can't be taken for anything else: one line, no folder, no bracket."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in last if letter.isprintable() and letter not in "[]").strip()


def _refused(where: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"{where}: {reason}", param=where)
