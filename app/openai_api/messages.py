"""The ``messages`` of a request: checked, and brought to the one shape that the rest of the gateway reads.

One custom field checks the whole list itself: nested schemas cost thirty times as much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from marshmallow import ValidationError, fields

from app.concurrency.slices import give_way
from app.openai_api.content import content_of
from app.openai_api.tools import NO_CUSTOM_TOOLS
from app.providers.stream import Message
from app.sessions.history import STEP_BREAK

# Parts of all messages of a request.
MOST_PARTS = 100_000
# Messages that are checked until others have their turn: 2 ms.
TURN = 500
# Tool calls of one message.
MOST_CALLS = 128


@dataclass(frozen=True, slots=True)
class Conversation:
    """instructions: system and developer messages, joined by a blank line. messages: all others, in order.

    places: where each of ``messages`` stands in the request's own list.
    """

    instructions: str
    messages: list[Message]
    places: list[int]

    @property
    def last(self) -> int:
        """Where the last of ``messages`` stands in the request's own list."""
        return self.places[-1]


class Messages(fields.Field[Conversation]):
    """Raises ValidationError whose messages are keyed by path, such as ``{2: {"role": [...]}}``."""

    def __init__(self) -> None:
        super().__init__(required=True, error_messages={"required": "is required"})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Conversation:
        if not isinstance(value, list) or not value:
            raise ValidationError("must be a list with at least one message")
        _check_parts(value)
        places: list[int] = []
        instructions: list[str] = []
        messages: list[Message] = []
        called = _Called()
        for index, given in enumerate(value):
            if index % TURN == TURN - 1:
                give_way()
            try:
                role = _role(given)
                if role in ("system", "developer"):
                    instructions.append(_instruction(given))
                else:
                    messages.append(_READERS[role](given, called))
                    places.append(index)
            except ValidationError as error:
                raise ValidationError({index: error.messages}) from None
        if not any(message["role"] in ("user", "tool") for message in messages):
            raise ValidationError("must hold a user message")
        return Conversation("\n\n".join(text for text in instructions if text), messages, places)


def _check_parts(messages: list[Any]) -> None:
    count = 0
    for index, given in enumerate(messages):
        content = given.get("content") if isinstance(given, dict) else None
        if isinstance(content, list):
            count += len(content)
            if count > MOST_PARTS:
                raise ValidationError({index: {"content": [f"all messages must hold {MOST_PARTS:,} parts at most"]}})


class _Called:
    """The calls so far. latest: the id of each function's last call."""

    __slots__ = ("count", "latest")

    def __init__(self) -> None:
        self.latest: dict[str, str] = {}
        self.count = 0

    def note(self, calls: list[Message]) -> None:
        self.latest.update((call["function"]["name"], call["id"]) for call in calls)
        self.count += len(calls)


def _role(given: Any) -> str:
    if not isinstance(given, dict):
        raise ValidationError("must be an object")
    role = given.get("role")
    if not isinstance(role, str) or (role not in _READERS and role not in ("system", "developer")):
        known = ", ".join(["system", "developer", *_READERS])
        raise ValidationError({"role": [f"must be one of {known}"]})
    return role


def _instruction(given: Message) -> str:
    content = content_of(given)
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _user(given: Message, _called: _Called) -> Message:
    return _named(given, {"role": "user", "content": content_of(given, shows=True)})


def _assistant(given: Message, called: _Called) -> Message:
    calls = _tool_calls(given.get("tool_calls"))
    legacy = given.get("function_call")
    if legacy is not None and not calls:
        calls = [{"id": f"call_{called.count}", "type": "function", "function": _function(legacy, "function_call")}]
    refusal = given.get("refusal")
    if refusal is not None and not isinstance(refusal, str):
        raise ValidationError({"refusal": ["must be a string"]})
    empty = calls or refusal
    content = None if given.get("content") is None and empty else content_of(given)
    message: Message = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = calls
        called.note(calls)
    if refusal:
        message["content"] = _with_refusal(content, refusal)
    return _named(given, message)


def _with_refusal(content: str | list[Message] | None, refusal: str) -> str | list[Message]:
    """What the assistant said, as it is on record: a refusal begins a paragraph of its own."""
    if isinstance(content, list):
        return [*content, {"type": "text", "text": STEP_BREAK + refusal}]
    if not content:
        return refusal
    return f"{content}{'' if content.endswith(STEP_BREAK) else STEP_BREAK}{refusal}"


def _tool(given: Message, _called: _Called) -> Message:
    call_id = given.get("tool_call_id")
    if not isinstance(call_id, str) or not call_id:
        raise ValidationError({"tool_call_id": ["must name the tool call that this answers"]})
    return {"role": "tool", "tool_call_id": call_id, "content": content_of(given, shows=True)}


def _legacy_function(given: Message, called: _Called) -> Message:
    """``role:"function"`` results are tool results; they answer the latest call of their name."""
    name = given.get("name")
    if not isinstance(name, str) or not name:
        raise ValidationError({"name": ["must name the function that was called"]})
    if name not in called.latest:
        raise ValidationError({"name": [f"no earlier assistant message calls {name[:64]!r}"]})
    return {"role": "tool", "tool_call_id": called.latest[name], "content": content_of(given, shows=True)}


_READERS = {"user": _user, "assistant": _assistant, "tool": _tool, "function": _legacy_function}


def _tool_calls(given: Any) -> list[Message]:
    if given is None:
        return []
    if not isinstance(given, list):
        raise ValidationError({"tool_calls": ["must be a list"]})
    if len(given) > MOST_CALLS:
        raise ValidationError({"tool_calls": [f"must hold {MOST_CALLS} calls at most"]})
    calls = []
    for index, call in enumerate(given):
        try:
            if not isinstance(call, dict) or not isinstance(call.get("id"), str) or not call["id"]:
                raise ValidationError("must be an object with an id")
            if call.get("type") == "custom":
                raise ValidationError({"type": [NO_CUSTOM_TOOLS]})
            function = _function(call.get("function"), "function")
            calls.append({"id": call["id"], "type": "function", "function": function})
        except ValidationError as error:
            raise ValidationError({"tool_calls": {index: error.messages}}) from None
    return calls


def _function(given: Any, where: str) -> Message:
    """Clients leave arguments out where there are none, or send the object itself; model APIs want it as text."""
    name, arguments = (given.get("name"), given.get("arguments")) if isinstance(given, dict) else (None, None)
    if not isinstance(name, str) or not isinstance(arguments, str | dict | None):
        raise ValidationError({where: ["must be an object with the strings name and arguments"]})
    if isinstance(arguments, dict):
        try:
            arguments = orjson.dumps(arguments).decode()
        except TypeError:
            raise ValidationError({where: {"arguments": ["is nested too deeply"]}}) from None
    return {"name": name, "arguments": "{}" if (arguments or "").strip() in ("", "null") else arguments}


def _named(given: Message, message: Message) -> Message:
    name = given.get("name")
    if name is not None:
        if not isinstance(name, str):
            raise ValidationError({"name": ["must be a string"]})
        if name:
            message["name"] = name
    return message
