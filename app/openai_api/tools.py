"""``tools`` and ``tool_choice`` of a request: checked, and brought to the one shape that the gateway reads.

Source: https://platform.openai.com/docs/api-reference/chat/create#chat-create-tools
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from marshmallow import ValidationError, fields

from app.http.fields import may_fit

MOST = 128
# Bytes of one tool's JSON: it goes to the provider with every call.
MAX_SIZE = 256 * 1024
# Levels of JSON that providers' wire formats put around a tool; orjson writes 254 levels and no more.
LEVELS_AROUND = 12
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")

NO_CUSTOM_TOOLS = "custom tools are not supported; describe it as a function with one string among its parameters"

WireTool = dict[str, Any]
Path = tuple[str | int, ...]


class CallerTools(fields.Field[list[WireTool]]):
    """Function tools ``{"type": "function", "function": {name, description?, parameters?, strict?}}``.

    Also without the type, or without the wrapper, as clients of other APIs send them.
    """

    def __init__(self) -> None:
        super().__init__(allow_none=True)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[WireTool]:
        if not isinstance(value, list):
            raise ValidationError("must be a list of tools")
        if len(value) > MOST:
            raise ValidationError(f"must hold {MOST} tools at most")
        names: set[str] = set()
        tools = []
        for index, given in enumerate(value):
            try:
                tool = _tool(given)
            except ValidationError as error:
                raise ValidationError({index: error.messages}) from None
            name = tool["function"]["name"]
            if name in names:
                raise fault((index, *_path(given)), f"{name} is the name of an earlier tool")
            names.add(name)
            tools.append(tool)
        return tools


class Allowed(NamedTuple):
    """``allowed_tools``: only these tools may be called, or one of them must be. names: each with its path there."""

    mode: str
    names: Mapping[str, Path]


class ToolChoice(fields.Field[str | WireTool | Allowed]):
    """A word, an object that names one tool, or ``allowed_tools``, also in the forms of other APIs.

    A word is ``none``, ``auto`` or ``required``; ``any`` is what Anthropic and Mistral call the last.
    """

    def __init__(self) -> None:
        super().__init__(allow_none=True)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | WireTool | Allowed:
        kind = value.get("type") if isinstance(value, dict) else value
        if isinstance(kind, str) and kind in _WORDS:
            return _WORDS[kind]
        if kind == "custom":
            raise ValidationError({"type": [NO_CUSTOM_TOOLS]})
        if isinstance(value, dict):
            if kind == "allowed_tools":
                return _allowed(value)
            if kind in ("function", "tool") and (name := _named(value)):
                return {"type": "function", "function": {"name": name}}
        raise ValidationError(
            'must be "none", "auto", "required", {"type": "function", "function": {"name": "…"}} or '
            '{"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": […]}}'
        )


_WORDS = {"none": "none", "auto": "auto", "required": "required", "any": "required"}


def _named(given: WireTool) -> str | None:
    """The name in ``{"function": {"name": …}}``, or in the flat form ``{"name": …}``."""
    name = _inner(given).get("name")
    return name if isinstance(name, str) else None


def _inner(given: WireTool) -> WireTool:
    """A function, whether it has its wrapper or not."""
    function = given.get("function")
    return function if isinstance(function, dict) else given if function is None else {}


def _path(given: WireTool) -> Path:
    return ("name",) if given.get("function") is None else ("function", "name")


def _allowed(value: WireTool) -> Allowed:
    """The chat form has the list in an object of its own, the Responses form beside the type."""
    inner, path = value.get("allowed_tools"), Path(("allowed_tools",))
    if inner is None:
        inner, path = value, ()
    if not isinstance(inner, dict):
        raise fault(path, "must be an object with mode and tools")
    mode = inner.get("mode") or "auto"
    if mode not in ("auto", "required"):
        raise fault((*path, "mode"), "must be auto or required")
    tools = inner.get("tools")
    if not isinstance(tools, list) or not tools or len(tools) > MOST:
        raise fault((*path, "tools"), f"must be a list of 1 to {MOST} tools")
    names: dict[str, Path] = {}
    for index, given in enumerate(tools):
        where = (*path, "tools", index)
        is_function = isinstance(given, dict) and given.get("type") in (None, "function")
        if not is_function or not (name := _named(given)):
            raise fault(where, 'must be {"type": "function", "function": {"name": "…"}}')
        names.setdefault(name, (*where, *_path(given)))
    return Allowed(mode, names)


def check_choice(chat: dict[str, Any], given: Any) -> None:
    """Raise ValidationError for a ``tool_choice`` that the request's ``tools`` can't meet. given: as it was sent."""
    choice, tools = chat.get("tool_choice"), chat.get("tools") or ()
    if choice == "required" and not tools:
        raise ValidationError({"tool_choice": ["is required, but there are no tools"]})
    wanted: Mapping[str, Path] = {}
    if isinstance(choice, Allowed):
        wanted = choice.names
    elif isinstance(choice, dict):
        wanted = {choice["function"]["name"]: _path(given)}
    if wanted:
        known = {tool["function"]["name"] for tool in tools}
        for name, path in wanted.items():
            if name not in known:
                raise fault(("tool_choice", *path), f"{name[:64]!r} is none of the tools")


def choice_of(chat: dict[str, Any]) -> tuple[str | WireTool | None, frozenset[str] | None]:
    """(``tool_choice`` as models know it, names of the tools that may be called; None: all)."""
    choice = chat.get("tool_choice")
    return (choice.mode, frozenset(choice.names)) if isinstance(choice, Allowed) else (choice, None)


def fault(path: Path, reason: str) -> ValidationError:
    """What is wrong with the value that stands there."""
    messages: Any = [reason]
    for key in reversed(path):
        messages = {key: messages}
    return ValidationError(messages)


def _tool(given: Any) -> WireTool:
    if not isinstance(given, dict):
        raise ValidationError("must be an object")
    kind = given.get("type")
    if kind == "custom":
        raise ValidationError({"type": [NO_CUSTOM_TOOLS]})
    if kind not in (None, "function"):
        raise ValidationError({"type": ['must be "function"']})
    function, path = _inner(given), _path(given)[:-1]
    if not function or (function is given and "name" not in given):
        raise ValidationError({"function": ["must be an object with a name"]})
    name = function.get("name")
    if path == () and "parameters" not in function:
        # Where there is no wrapper, it may be a tool of Anthropic's API.
        function = {**function, "parameters": function.get("input_schema")}
    if not isinstance(name, str) or not _NAME.match(name):
        raise fault((*path, "name"), "must be letters, digits, _ and -, 64 at most")
    tool: WireTool = {"name": name}
    for key, kind, what in (
        ("description", str, "a string"),
        ("parameters", dict, "an object, a JSON schema"),
        ("strict", bool, "true or false"),
    ):
        if function.get(key) is not None:
            if not isinstance(function[key], kind):
                raise fault((*path, key), f"must be {what}")
            tool[key] = function[key]
    if "parameters" in tool:
        tool["parameters"] = {"type": "object", **tool["parameters"]}  # some providers refuse a schema without
    if not may_fit(tool, MAX_SIZE):
        raise fault(path, f"is larger than {MAX_SIZE} bytes")
    wrapped: Any = tool
    for _ in range(LEVELS_AROUND):
        wrapped = [wrapped]
    try:
        size = len(orjson.dumps(wrapped))
    except TypeError:
        raise fault((*path, "parameters"), "is nested too deeply") from None
    if size > MAX_SIZE:
        raise fault(path, f"is larger than {MAX_SIZE} bytes")
    return {"type": "function", "function": tool}
