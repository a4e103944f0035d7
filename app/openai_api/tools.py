"""``tools`` and ``tool_choice`` of a request: checked, and brought to the one shape that the gateway reads.

Source: https://platform.openai.com/docs/api-reference/chat/create#chat-create-tools
"""

from __future__ import annotations

import re
from typing import Any

import orjson
from marshmallow import ValidationError, fields

MOST = 128
# Bytes of one tool's JSON: it goes to the provider with every call.
MAX_SIZE = 256 * 1024
# Levels of JSON that providers' wire formats put around a tool; orjson writes 254 levels and no more.
LEVELS_AROUND = 12
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")

WireTool = dict[str, Any]


class CallerTools(fields.Field[list[WireTool]]):
    """Function tools ``{"type": "function", "function": {name, description?, parameters?, strict?}}``."""

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
                raise ValidationError({index: {"function": {"name": [f"{name} is the name of an earlier tool"]}}})
            names.add(name)
            tools.append(tool)
        return tools


class ToolChoice(fields.Field[str | WireTool]):
    """``none``, ``auto``, ``required`` or ``{"type": "function", "function": {"name": …}}``."""

    def __init__(self) -> None:
        super().__init__(allow_none=True)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | WireTool:
        if isinstance(value, str) and value in ("none", "auto", "required"):
            return value
        function = value.get("function") if isinstance(value, dict) and value.get("type") == "function" else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise ValidationError(
                'must be "none", "auto", "required" or {"type": "function", "function": {"name": "…"}}'
            )
        return {"type": "function", "function": {"name": function["name"]}}


def check_choice(chat: dict[str, Any]) -> None:
    """Raise ValidationError for a ``tool_choice`` that the request's ``tools`` can't meet."""
    choice, tools = chat.get("tool_choice"), chat.get("tools") or ()
    if choice == "required" and not tools:
        raise ValidationError({"tool_choice": ["is required, but there are no tools"]})
    if isinstance(choice, dict):
        name = choice["function"]["name"]
        if all(tool["function"]["name"] != name for tool in tools):
            raise ValidationError({"tool_choice": {"function": {"name": [f"{name[:64]!r} is none of the tools"]}}})


def _tool(given: Any) -> WireTool:
    if not isinstance(given, dict):
        raise ValidationError("must be an object")
    if given.get("type") != "function":
        raise ValidationError({"type": ['must be "function"']})
    function = given.get("function")
    if not isinstance(function, dict):
        raise ValidationError({"function": ["must be an object with a name"]})
    name = function.get("name")
    if not isinstance(name, str) or not _NAME.match(name):
        raise ValidationError({"function": {"name": ["must be letters, digits, _ and -, 64 at most"]}})
    tool: WireTool = {"name": name}
    for key, kind, what in (
        ("description", str, "a string"),
        ("parameters", dict, "an object, a JSON schema"),
        ("strict", bool, "true or false"),
    ):
        if function.get(key) is not None:
            if not isinstance(function[key], kind):
                raise ValidationError({"function": {key: [f"must be {what}"]}})
            tool[key] = function[key]
    wrapped: Any = tool
    for _ in range(LEVELS_AROUND):
        wrapped = [wrapped]
    try:
        size = len(orjson.dumps(wrapped))
    except TypeError:
        raise ValidationError({"function": {"parameters": ["is nested too deeply"]}}) from None
    if size > MAX_SIZE:
        raise ValidationError({"function": [f"is larger than {MAX_SIZE} bytes"]})
    return {"type": "function", "function": tool}
