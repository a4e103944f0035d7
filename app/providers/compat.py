"""A model call without what a server says that it doesn't take: ``compat`` as far as it holds in every wire format.

What changes the wire of Chat Completions alone stands in ``completions_request`` and ``completions_messages``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.config.settings import NO_COMPAT, Compat
from app.providers.schema_tools import in_words
from app.providers.stream import ModelCall

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
# Keywords of JSON Schema below which the members are names, and no keywords.
_OF_NAMES = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})


def not_taken(compat: Compat) -> frozenset[str]:
    """Names of the caller's fields that the server says it doesn't take."""
    refused = {
        "temperature": compat.supports_temperature is False,
        "prompt_cache_retention": compat.supports_long_cache_retention is False,
        "reasoning_effort": compat.supports_reasoning_effort is False and compat.thinking_format in (None, "openai"),
    }
    return frozenset(name for name, refuses in refused.items() if refuses)


def adapted(call: ModelCall, compat: Compat) -> ModelCall:
    """The call as the server takes it; itself where nothing is said."""
    if compat is NO_COMPAT:
        return call
    refused = not_taken(compat)
    sampling = {name: value for name, value in call.sampling.items() if name not in refused}
    form = sampling.get("response_format") or {}
    if compat.supports_json_schema_response_format is False and form.get("type") == "json_schema":
        sampling["response_format"] = {"type": "json_object"}
    _limit_effort(sampling, compat)
    if compat.supports_tools is False:
        return call._replace(messages=in_words(call.messages), sampling=sampling, tools=(), tool_choice=None)
    return call._replace(sampling=sampling, tools=_tools(call.tools, compat))


def _limit_effort(sampling: dict[str, Any], compat: Compat) -> None:
    effort = sampling.get("reasoning_effort")
    if effort is None:
        return
    if effort in compat.reasoning_effort_map:
        effort = compat.reasoning_effort_map[effort]
    elif compat.supported_reasoning_efforts:
        effort = _nearest(effort, compat.supported_reasoning_efforts)
    sampling["reasoning_effort"] = effort


def _nearest(effort: str, supported: Sequence[str]) -> str:
    """The supported effort next to it, the lower of two."""
    if effort in supported or effort not in EFFORTS:
        return effort
    known = [each for each in EFFORTS if each in supported]
    return min(known, key=lambda each: abs(EFFORTS.index(each) - EFFORTS.index(effort)), default=effort)


def _tools(tools: Sequence[Mapping[str, Any]], compat: Compat) -> Sequence[Mapping[str, Any]]:
    words = frozenset(compat.unsupported_tool_schema_keywords)
    if not words and compat.supports_strict_mode is not False:
        return tools
    adapted = []
    for tool in tools:
        function = dict(tool["function"])
        if compat.supports_strict_mode is False:
            function.pop("strict", None)
        if words and "parameters" in function:
            function["parameters"] = _without(function["parameters"], words)
        adapted.append({**tool, "function": function})
    return adapted


def _without(schema: Any, words: frozenset[str], *, names: bool = False) -> Any:
    """The JSON schema without these keywords. names: the members are properties, whatever they are called."""
    if isinstance(schema, list):
        return [_without(item, words) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: _without(value, words, names=not names and key in _OF_NAMES)
        for key, value in schema.items()
        if names or key not in words
    }
