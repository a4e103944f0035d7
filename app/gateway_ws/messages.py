"""Messages of sessions as the protocol shows them.

Source: what OpenClaw's ``chat.history`` answers; the published schema leaves messages open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from app import json_text
from app.concurrency.slices import taking_turns
from app.gateway_ws.times import ms
from app.gateway_ws.usage import usage_of
from app.providers.stream import Message
from app.sessions.tables import DONE, FAILED, INTERRUPTED
from app.sessions.transcript import Entry, TurnEnd

# Characters of one message.
MAX_CHARS = 8_000
# Bytes of all messages of an answer.
MOST_BYTES = 6 * 1024 * 1024
CUT_MARK = "\n…(truncated)…"

# Why the model stopped in a turn that was done is not on record.
_STOP_REASONS = {INTERRUPTED: "aborted", FAILED: "error"}


class Page(NamedTuple):
    """stored: how many of the transcript's messages ``messages`` show."""

    messages: list[dict[str, Any]]
    stored: int


def page(entries: Sequence[Entry], max_chars: int = MAX_CHARS) -> Page:
    """The latest of these that have at most ``MOST_BYTES`` together, one at least, as ``shown``.

    A failed turn ends with an assistant's message that has no content and says what went wrong. It is not stored: its
    seq is that of the message before it. Cooperative.
    """
    names = _names(entries)
    told = _fitting([_shown(entry, names, max_chars) for entry in taking_turns(entries)])
    kept = entries[len(entries) - len(told) :]
    rows = [row for entry, message in zip(kept, told, strict=True) for row in (message, *_failure(entry))]
    return Page(rows, len(told))


def shown(entries: Sequence[Entry], max_chars: int = MAX_CHARS) -> list[dict[str, Any]]:
    """Each message as ``{role, content: [parts], timestamp, __openclaw: {id, seq, runId, …}, …}``.

    Roles are ``user``, ``assistant`` and ``toolResult``. What stands for a turn (usage, model, how it ended) stands on
    its last message. max_chars: of each message; what is longer is cut, and ``__openclaw.truncated`` says so.
    """
    names = _names(entries)
    return [_shown(entry, names, max_chars) for entry in entries]


def _names(entries: Sequence[Entry]) -> dict[str, str]:
    """Of the tools that were called, by the calls' ids."""
    return {id: name for entry in entries for id, name in _calls(entry.message)}


def _fitting(told: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    kept, left = 0, MOST_BYTES
    for message in taking_turns(reversed(told)):
        left -= len(orjson.dumps(message)) + 1
        if left < 0 and kept:
            break
        kept += 1
    return told[len(told) - kept :]


def parts(message: Message, max_chars: int = MAX_CHARS) -> list[dict[str, Any]]:
    """The content of a user's message."""
    return _content(message, _Room(max_chars))


class _Room:
    """What is left of the characters that a message may have."""

    def __init__(self, characters: int) -> None:
        self._left = characters
        self.short = False

    def take(self, text: str) -> str:
        taken = text[: self._left]
        self._left -= len(taken)
        if len(taken) == len(text):
            return text
        mark = "" if self.short else CUT_MARK
        self.short = True
        return taken + mark


def _shown(entry: Entry, names: Mapping[str, str], max_chars: int) -> dict[str, Any]:
    message, room = entry.message, _Room(max_chars)
    marks: dict[str, Any] = {"id": entry.id, "seq": entry.seq, "runId": entry.run_id}
    wire: dict[str, Any] = {"role": message["role"], "timestamp": ms(entry.at), "__openclaw": marks}
    if message["role"] == "tool":
        id = message["tool_call_id"]
        wire |= {"role": "toolResult", "toolCallId": id, "isError": message.get("failed", False)}
        if id in names:
            wire["toolName"] = names[id]
    wire["content"] = _content(message, room)
    if message["role"] == "assistant":
        wire |= _answer(entry)
    if entry.end is not None and entry.end.status != DONE:
        marks |= {"status": entry.end.status, "error": entry.end.error}
    if room.short:
        marks["truncated"] = True
    return wire


def _content(message: Message, room: _Room) -> list[dict[str, Any]]:
    content = message.get("content") or ()
    given = [{"type": "text", "text": content}] if isinstance(content, str) else content
    found = [{"type": "text", "text": room.take(part["text"])} if "text" in part else _image(part) for part in given]
    return found + [_call(call, room) for call in message.get("tool_calls") or ()]


def _image(part: Mapping[str, Any]) -> dict[str, Any]:
    """An image is told of, not sent: it may have megabytes."""
    head, _, data = str(part["image_url"]["url"]).partition(",")
    kind = head.removeprefix("data:").partition(";")[0] if head.startswith("data:") else "image/*"
    return {"type": "image", "mimeType": kind[:100], "omitted": True, "bytes": len(data) * 3 // 4}


def _call(call: Mapping[str, Any], room: _Room) -> dict[str, Any]:
    function = call["function"]
    wire = {"type": "toolCall", "id": call["id"], "name": function["name"]}
    text = function["arguments"]
    taken = room.take(text)
    arguments = _object(text) if taken == text else None
    # What a model wrote for a caller's own tool may be no JSON.
    return wire | ({"arguments": {}, "argumentsText": taken} if arguments is None else {"arguments": arguments})


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json_text.loads(text) if text.strip() else {}
        # What is nested too deeply can be read but not written.
        orjson.dumps([[[[[[[[found]]]]]]]])
    except (orjson.JSONDecodeError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def _answer(entry: Entry) -> dict[str, Any]:
    wire = _ended(entry.end) if entry.end is not None else {}
    return wire | {"stopReason": "toolUse"} if "tool_calls" in entry.message else wire


def _failure(entry: Entry) -> Sequence[dict[str, Any]]:
    end = entry.end
    if end is None or end.status != FAILED:
        return ()
    turn = entry.id.partition("-")[0]
    marks = {"id": f"{turn}-error", "seq": entry.seq, "runId": entry.run_id, "status": end.status}
    wire = {"role": "assistant", "content": [], "timestamp": ms(end.ended_at), "__openclaw": marks}
    return (wire | _ended(end),)


def _ended(end: TurnEnd) -> dict[str, Any]:
    wire: dict[str, Any] = {}
    if end.status in _STOP_REASONS:
        wire["stopReason"] = _STOP_REASONS[end.status]
    if end.model is not None:
        provider, _, model = end.model.partition("/")
        wire |= {"provider": provider, "model": model, "usage": usage_of(end.usage)}
    if end.error is not None:
        wire["errorMessage"] = end.error
    return wire


def _calls(message: Message) -> list[tuple[str, str]]:
    return [(call["id"], call["function"]["name"]) for call in message.get("tool_calls") or ()]
