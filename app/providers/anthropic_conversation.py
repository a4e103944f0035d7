"""A conversation in the OpenAI shape as the Anthropic Messages API wants it.

Source: https://platform.claude.com/docs/en/api/messages. There turns alternate and begin with the user, a turn that
calls tools is followed at once by one result for each call, ids are unique, and no text is blank.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

import orjson

from app.errors import ProviderRefused
from app.providers.state import blocks_of, in_order, present_turn
from app.providers.stream import Message, text_of

API = "anthropic-messages"

Block = dict[str, Any]
Turn = dict[str, Any]

THINKING = ("thinking", "redacted_thinking")
# What the user "says" where the API wants a turn and the conversation has none.
CONTINUE = "Continue."
UNANSWERED = "error: this call was not carried out"

_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_ID = 64


class Conversation(NamedTuple):
    system: list[str]
    turns: list[Turn]


def conversation(messages: Sequence[Message], reference: str) -> Conversation:
    """System texts, and turns that the API accepts. reference: the ``provider/model`` that is asked.

    Raises ProviderRefused for content that it has no block for.
    """
    system: list[str] = []
    turns = _Turns()
    present = present_turn(messages)
    for position, message in enumerate(messages):
        role = message["role"]
        if role in ("system", "developer"):
            if (text := text_of(message)).strip():
                system.append(text)
        elif role == "assistant":
            # Thoughts are bound to the very conversation in which they arose: a history that was compacted since, or
            # a new system prompt, would be refused with them. Only a turn that goes on needs them.
            turns.answer(message, blocks_of(message, API, reference) if position > present else ())
        elif role == "tool":
            turns.result(message)
        else:
            turns.say(list(_blocks(message.get("content"))))
    return Conversation(system, turns.finished())


class _Turns:
    def __init__(self) -> None:
        self._turns: list[Turn] = []
        self._used: dict[str, int] = {}
        # Ids of calls that have no result yet: theirs and ours.
        self._waiting: list[tuple[str, str]] = []
        self._results = 0

    def say(self, blocks: list[Block]) -> None:
        if blocks:
            self._turn("user").extend(blocks)

    def result(self, message: Message) -> None:
        content = list(_blocks(message.get("content")))
        given = message["tool_call_id"]
        for waiting in self._waiting:
            if waiting[0] == given:
                self._waiting.remove(waiting)
                return self._insert(_result(waiting[1], content, bool(message.get("failed"))))
        # The call was forgotten or is answered already; what the tool said may matter still.
        return self.say(content)

    def answer(self, message: Message, kept: Sequence[Block]) -> None:
        text, calls = text_of(message), message.get("tool_calls") or ()
        if not text.strip() and not calls:
            return
        if self._turns and self._turns[-1]["role"] == "user":
            self._answer_all()
        turn = self._turn("assistant")
        for kind, part in in_order(kept, text, calls):
            if kind == "call":
                turn.append(self._call(part))
            elif kind == "kept":
                turn.append(part)
            elif part["text"].strip():
                turn.append({"type": "text", "text": part["text"]})

    def finished(self) -> list[Turn]:
        self._answer_all()
        # Newer models refuse to go on with an answer that has begun, and OpenAI's API never does.
        if not self._turns or self._turns[-1]["role"] == "assistant":
            self.say([{"type": "text", "text": CONTINUE}])
        if self._turns[0]["role"] == "assistant":
            self._turns.insert(0, {"role": "user", "content": [{"type": "text", "text": CONTINUE}]})
        return self._turns

    def _turn(self, role: str) -> list[Block]:
        if not self._turns or self._turns[-1]["role"] != role:
            self._turns.append({"role": role, "content": []})
            self._results = 0
        content: list[Block] = self._turns[-1]["content"]
        return content

    def _insert(self, result: Block) -> None:
        """Results stand before everything else that the user's turn says."""
        self._turn("user").insert(self._results, result)
        self._results += 1

    def _answer_all(self) -> None:
        for _, id in self._waiting:
            self._insert(_result(id, [{"type": "text", "text": UNANSWERED}], True))
        self._waiting.clear()

    def _call(self, call: Block) -> Block:
        function = call["function"]
        id = self._id(call["id"])
        self._waiting.append((call["id"], id))
        name = _NOT_IN_IDS.sub("_", function["name"])[:_LONGEST_ID] or "unnamed"
        return {"type": "tool_use", "id": id, "name": name, "input": _arguments(function.get("arguments") or "")}

    def _id(self, given: str) -> str:
        """Servers of other formats count their calls anew in each answer."""
        base = id = _NOT_IN_IDS.sub("_", given)[:_LONGEST_ID] or "call"
        while id in self._used:
            self._used[base] += 1
            id = f"{base}_{self._used[base]}"
        self._used[id] = 0
        return id


def _result(id: str, content: list[Block], failed: bool) -> Block:
    result: Block = {"type": "tool_result", "tool_use_id": id}
    if content:
        result["content"] = content
    if failed:
        result["is_error"] = True
    return result


def _arguments(text: str) -> dict[str, Any]:
    """A model's own slip is no reason to refuse the conversation: what is no JSON object is an empty one."""
    try:
        parsed = orjson.loads(text)
        # More levels can be read than written, and here it stands some levels deep.
        orjson.dumps([[[[[parsed]]]]])
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _blocks(content: Any) -> Iterator[Block]:
    parts: Any = [{"type": "text", "text": content}] if isinstance(content, str) else content or ()
    for part in parts:
        if part["type"] == "text":
            if part["text"].strip():
                yield {"type": "text", "text": part["text"]}
        elif part["type"] == "image_url":
            yield {"type": "image", "source": _image(part["image_url"]["url"])}
        else:
            raise ProviderRefused(f"a content part of type {part['type']} can't be sent to a model of {API}")


def _image(url: str) -> Block:
    if url[:5].lower() != "data:":
        return {"type": "url", "url": url}
    head, _, data = url[5:].partition(",")
    kind, *options = head.split(";")
    if "base64" not in options:
        data = b64encode(unquote_to_bytes(data)).decode()
    return {"type": "base64", "media_type": "image/jpeg" if kind == "image/jpg" else kind, "data": data}
