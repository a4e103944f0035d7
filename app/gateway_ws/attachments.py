"""Attachments of a message: images, and text files, as parts of what the user says.

Source of their shape: ``ChatSendParams`` of the npm package ``@openclaw/gateway-protocol``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from app import text_files
from app.config.settings import Images
from app.errors import InvalidRequest
from app.images.given import GivenImage, check, taken
from app.providers.stream import Message
from app.text_files import BadFile

MOST = 8
# Of one text file.
MAX_CHARACTERS = 200_000

# How images begin, in base64.
_BEGINNINGS = {"iVBORw0KGgo": "image/png", "/9j/": "image/jpeg", "R0lGOD": "image/gif", "UklGR": "image/webp"}


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
        mime, name = _string(given, "mimeType", index), _string(given, "fileName", index)[-text_files.MAX_NAME :]
        try:
            self._add_file(given.get("content"), where, mime, name, index + 1)
        except BadFile as bad:
            raise _refused(where, str(bad)) from None

    def _add_file(self, content: Any, where: str, mime: str, name: str, number: int) -> None:
        declared, data = text_files.taken_apart(content)
        kind = _kind(declared, mime, data)
        if kind.startswith("image/"):
            image = {"url": f"data:{kind};base64,{data}"}
            GivenImage(where, image).check_form(self._rules)
            text_files.check_base64(data)
            self._places.append(where)
            self._parts.append({"type": "image_url", "image_url": image})
        elif text_files.is_text(kind, name):
            text = text_files.text(data, MAX_CHARACTERS)
            self._parts.append({"type": "text", "text": text_files.shown(text, name, number)})
        else:
            types = ", ".join(taken(self._rules))
            raise BadFile(f"is {kind or 'of unknown type'}, which is not taken; images ({types}) and text files are")


def _string(given: Mapping[str, Any], field: str, index: int) -> str:
    value = given.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _refused(f"attachments[{index}].{field}", "must be a string")
    return value


def _kind(declared: str, mime: str, data: str) -> str:
    """The media type, without parameters; empty when nobody knows it."""
    for said in (declared, mime):
        if kind := text_files.media_type(said):
            return kind
    return next((kind for beginning, kind in _BEGINNINGS.items() if data.startswith(beginning)), "")


def _refused(where: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"{where}: {reason}", param=where)
