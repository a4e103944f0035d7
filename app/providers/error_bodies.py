"""What a provider's error says, whatever shape its server, or a proxy before it, gives it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from app.providers.echoes import without_keys

MAX_TEXT = 2000
# Errors that hold others as JSON text, as proxies pack what their own provider said.
MAX_DEPTH = 4
MAX_PARTS = 10

# Members that hold the words, the plainest first, and those that hold an error within.
_WORDS = ("message", "msg", "detail", "error_message", "error_msg", "errorMessage", "Message", "title", "reason")
_WITHIN = ("error", "errors", "err", "fault")
_ASIDES = ("title", "reason")
# An error of nothing but words has these members only.
_BARE = frozenset({*_WORDS, "request_id", "requestId", "id", "success"})
_FINE = (None, 0, 200, "0", "200", "", "ok", "success", "Success", "OK")
# The words of JSON that breaks off.
_MESSAGE = re.compile(r'"(message|msg|detail)"\s*:\s*"((?:[^"\\]|\\.){1,2000})')
# MiniMax's own codes, as statuses. https://platform.minimax.io/docs/api-reference/errorcode
_MINIMAX = {1002: 429, 1004: 401, 1008: 402, 1026: 400, 1027: 400, 1039: 429, 1041: 429, 2013: 400, 2049: 401}
# Members with a word or a number for the kind of error, the most telling first.
_KINDS = ("code", "type", "status", "reason", "error_code", "error_type", "status_code", "statusCode", "http_code")


def error_in(event: Mapping[str, Any]) -> Any:
    """The error that a document or an event of a 200 is; None for one that is part of an answer.

    Besides ``{"error": …}`` that is one that says so of itself, or that has nothing but words.
    """
    if error := event.get("error"):
        return error
    if "error" in (event.get("object"), event.get("type")):
        return event
    if event.get("choices"):
        return None
    if isinstance(told := event.get("base_resp"), Mapping) and (code := told.get("status_code")):
        return {"message": told.get("status_msg"), "code": _MINIMAX.get(code, code)}
    if errors := event.get("errors"):
        return errors
    return event if _says_so(event) else None


def error_of(body: bytes) -> Any:
    """The error of a refusal's body; None when it says nothing, as pages of proxies do."""
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(body)
    text = body[: MAX_TEXT * 4].decode(errors="replace").strip()
    if text.startswith(("{", "[")):
        # Of a long one only the beginning was read.
        said = _MESSAGE.search(text)
        return {"message": said[2]} if said else None
    return None if "<" in text or "\ufffd" in text else text or None


def error_text(error: Any, secrets: Sequence[str]) -> str:
    """The provider's own words, cut and without the gateway's secrets."""
    text = _text(error, MAX_DEPTH) or _as_json(_innermost(error))
    return without_keys(text, secrets)[:MAX_TEXT]


def error_words(error: Any) -> Iterator[str]:
    """Codes and kinds that stand in the error, in lower case, the most telling first."""
    for part in _parts(error, MAX_DEPTH):
        values = [value for key in _KINDS if isinstance(value := part.get(key), str) and " " not in value]
        yield from (value.lower() for value in values)


def error_status(error: Any) -> int | None:
    """The HTTP status that stands in the error."""
    for part in _parts(error, MAX_DEPTH):
        for key in _KINDS:
            value = part.get(key)
            if isinstance(value, str) and len(value) == 3 and value.isdecimal() and value.isascii():
                value = int(value)
            if type(value) is int and 400 <= value < 600:
                return value
    return None


def _parts(error: Any, depth: int) -> Iterator[Mapping[str, Any]]:
    """The objects that an error is made of, from the outermost inwards."""
    error = _unpacked(error)
    if isinstance(error, list) and depth:
        for each in error[:MAX_PARTS]:
            yield from _parts(each, depth - 1)
    elif isinstance(error, Mapping):
        yield error
        if depth:
            inner: Iterable[Any] = (error.get(key) for key in (*_WITHIN, *_WORDS, "details", "metadata", "raw"))
            for each in inner:
                if isinstance(each, (list, Mapping)) or _unpacked(each) is not each:
                    yield from _parts(each, depth - 1)


def _text(error: Any, depth: int) -> str:
    error = _unpacked(error)
    if isinstance(error, str):
        return error.strip()
    if not depth:
        return _as_json(error)
    if isinstance(error, list):
        return "; ".join(filter(None, (_text(each, depth - 1) for each in error[:MAX_PARTS])))
    if not isinstance(error, Mapping):
        return ""
    said = next((text for key in _WORDS if (text := _text(error.get(key), depth - 1))), "")
    within = next((text for key in _WITHIN if (text := _text(error.get(key), depth - 1))), "")
    if raw := _raw(error, depth):
        within = within or raw
    text = f"{said}: {within}" if said and within and within not in said else said or within
    where = _place(error.get("loc"))
    return f"{where}: {text}" if where and text else text


def _innermost(error: Any) -> Any:
    """What is left of an error without words when its wrapping is taken away."""
    while True:
        if isinstance(error, list) and len(error) == 1:
            error = error[0]
        elif isinstance(error, Mapping) and error.keys() == {"error"}:
            error = error["error"]
        else:
            return error


def _raw(error: Mapping[str, Any], depth: int) -> str:
    """What the provider behind OpenRouter said."""
    metadata = error.get("metadata")
    return _text(metadata.get("raw"), depth - 1) if isinstance(metadata, Mapping) else ""


def _place(loc: Any) -> str:
    """Where FastAPI and pydantic say that something is wrong, ``["body", "messages", 0]``, as ``messages.0``."""
    if not isinstance(loc, list):
        return ""
    return ".".join(str(each) for each in loc[:MAX_PARTS] if each != "body" and isinstance(each, str | int))


def _says_so(event: Mapping[str, Any]) -> bool:
    """Whether words without ``error`` tell of one, and are no news of a queue or of progress."""
    if not any(event.get(key) and isinstance(event[key], str | list) for key in _WORDS if key not in _ASIDES):
        return False
    if event.keys() <= _BARE:
        return True
    if any(event.get(key) not in _FINE for key in ("code", "error_code", "status_code", "statusCode", "http_code")):
        return True
    return "error" in str(event.get("type", "")).lower()


def _unpacked(value: Any) -> Any:
    """JSON that stands as text, or as bytes, read; all else as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def _as_json(error: Any) -> str:
    if isinstance(error, str) or not error:
        return error or ""
    try:
        return orjson.dumps(error).decode()
    except TypeError:  # deeper than is ever written
        return ""
