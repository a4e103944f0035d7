"""The ``content`` of a message: checked, and brought to the few kinds of parts that the rest of the gateway reads.

Sources: https://platform.openai.com/docs/api-reference/chat/create and …/api-reference/responses/create; some clients
send the parts of the latter here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from marshmallow import ValidationError

from app import text_files
from app.concurrency.slices import give_way
from app.providers.stream import Message
from app.text_files import BadFile

_DETAILS = ("auto", "low", "high", "original")
_TEXTS = frozenset({"text", "input_text", "output_text"})

# Parts that are checked until others have their turn: 2 ms.
TURN = 1000
# Characters of a text file.
MAX_FILE = 1024 * 1024

_NO_AUDIO = "audio is not supported; send what is said in it as text"
_NO_VIDEO = "video is not supported; send pictures of it as image_url"
_NOT_TAKEN = {
    "input_audio": _NO_AUDIO,
    "audio": _NO_AUDIO,
    "audio_url": _NO_AUDIO,
    "video_url": _NO_VIDEO,
    "input_video": _NO_VIDEO,
}


def content_of(message: Message, *, shows: bool = False) -> str | list[Message]:
    """The text, or its parts: ``text``, and with ``shows`` ``image_url``. A text file is a part of text.

    Cooperative. Raises ValidationError.
    """
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise ValidationError({"content": ["must be a string or a list of content parts"]})
    parts: list[Message] = []
    for index, part in enumerate(content):
        if index % TURN == TURN - 1:
            give_way()
        try:
            parts.append(_part(part, index + 1, shows=shows))
        except ValidationError as error:
            raise ValidationError({"content": {index: error.messages}}) from None
    return parts


def _part(part: Any, number: int, *, shows: bool) -> Message:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        kind = ""
    if kind in _TEXTS or kind == "refusal":
        member = "refusal" if kind == "refusal" else "text"
        if not isinstance(part.get(member), str):
            raise ValidationError(f"must hold a string in {member}")
        return {"type": "text", "text": part[member]}
    if (read := _SHOWN.get(kind)) is not None:
        if not shows:
            raise ValidationError("images and files stand in messages of user and tool alone")
        return read(part, number)
    raise ValidationError(_NOT_TAKEN.get(kind, f"must be a part of type text{', image_url or file' * shows}"))


def _image_url(part: Message, _number: int) -> Message:
    return _image(part.get("image_url"))


def _input_image(part: Message, _number: int) -> Message:
    """The Responses API's form: the URL itself, and its detail beside it."""
    url = part.get("image_url")
    if url is None and part.get("file_id") is not None:
        raise ValidationError({"file_id": ["no files are kept here; send the image in image_url, as a data: URL"]})
    return _image({"url": url, "detail": part.get("detail")} if isinstance(url, str) else url)


def _image(given: Any) -> Message:
    """The shape alone; ``app.openai_api.images`` looks at what is in it."""
    if isinstance(given, str):
        given = {"url": given}
    if not isinstance(given, dict):
        raise ValidationError({"image_url": ["must be an object with a url"]})
    if not isinstance(given.get("url"), str) or not given["url"]:
        raise ValidationError({"image_url": {"url": ["must be a string: data:, http:// or https://"]}})
    image = {"url": given["url"]}
    if given.get("detail") is not None:
        if given["detail"] not in _DETAILS:
            raise ValidationError({"image_url": {"detail": [f"must be one of {', '.join(_DETAILS)}"]}})
        image["detail"] = given["detail"]
    return {"type": "image_url", "image_url": image}


def _file(part: Message, number: int) -> Message:
    if not isinstance(part.get("file"), dict):
        raise ValidationError({"file": ["must be an object with file_data and filename"]})
    try:
        return _input_file(part["file"], number)
    except ValidationError as error:
        raise ValidationError({"file": error.messages}) from None


def _input_file(given: Message, number: int) -> Message:
    for name in ("file_id", "file_url"):
        if given.get(name) is not None and given.get("file_data") is None:
            raise ValidationError({name: ["no files are kept or fetched here; send it in file_data"]})
    name = given.get("filename") or ""
    if not isinstance(name, str):
        raise ValidationError({"filename": ["must be a string"]})
    try:
        declared, data = text_files.taken_apart(given.get("file_data"))
        kind, name = text_files.media_type(declared), name[-text_files.MAX_NAME :]
        if not text_files.is_text(kind, name):
            raise BadFile(f"is {kind or 'of unknown type'}; only text files are taken, by their type or filename")
        text = text_files.text(data, MAX_FILE)
    except BadFile as bad:
        raise ValidationError({"file_data": [str(bad)]}) from None
    return {"type": "text", "text": text_files.shown(text, name, number)}


_SHOWN: dict[str, Callable[[Message, int], Message]] = {
    "image_url": _image_url,
    "input_image": _input_image,
    "file": _file,
    "input_file": _input_file,
}
