"""A model call as the body of a request to the Anthropic Messages API.

Source: https://platform.claude.com/docs/en/api/messages. Penalties, ``seed`` and ``logit_bias`` have no counterpart
there and are not sent; neither are ``temperature`` and ``top_p`` to Claude 4.7 and later, which refuse them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.config.settings import Model
from app.providers.anthropic_conversation import THINKING, Block, Turn, conversation
from app.providers.compat import adapted
from app.providers.request_fields import COMPLETIONS
from app.providers.stream import ModelCall

DEFAULT_MAX_TOKENS = 8192
ONLY_JSON = "Answer with one JSON object and nothing else: no other text, no code fence."

# Tokens, of models that are told how much to think rather than how hard.
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_768, "max": 32_768}
_LEAST_BUDGET = 1024
# Efforts of the OpenAI API that are called otherwise here; not every model lets thinking be turned off.
_EFFORTS = {"none": "low", "minimal": "low"}
_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:[-.](\d{1,2})(?!\d))?")
_UNKNOWN = (99, 0)
_CACHED = {"type": "ephemeral"}
_NOT_SCHEMAS = ("const", "default", "enum", "examples")


def payload(call: ModelCall, model: Model, reference: str, fields: frozenset[str]) -> dict[str, Any]:
    """The request's body. reference: ``provider/model``. fields: names of the caller's fields that the server is sent.

    Raises ProviderRefused for content that the format has no place for.
    """
    call = adapted(call, model.compat)
    sampling = call.sampling
    system, turns = conversation(call.messages, reference)
    body: dict[str, Any] = {
        "model": call.model,
        "max_tokens": sampling.get("max_tokens") or model.max_tokens or DEFAULT_MAX_TOKENS,
        "messages": turns,
        "stream": True,
    }
    body.update((name, value) for name, value in sampling.items() if name in fields - COMPLETIONS)
    body.update(_tools(call, turns))
    output: dict[str, Any] = {}
    form = sampling.get("response_format") or {}
    schema = (form.get("json_schema") or {}).get("schema")
    if schema is not None:
        output["format"] = {"type": "json_schema", "schema": _closed(schema)}
    elif form.get("type") in ("json_object", "json_schema"):
        system = [*system, ONLY_JSON]
    if system:
        body["system"] = [{"type": "text", "text": text} for text in system]
    if stop := sampling.get("stop"):
        body["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
    if model.reasoning and (effort := sampling.get("reasoning_effort")):
        _think(body, output, effort)
    if output:
        body["output_config"] = output
    body.update(_sampling(call, thinks="thinking" in body))
    _mark_for_cache(body)
    return {**body, **model.body} if model.body else body


def _sampling(call: ModelCall, *, thinks: bool) -> dict[str, Any]:
    temperature, top_p = call.sampling.get("temperature"), call.sampling.get("top_p")
    if thinks or _version(call.model) >= (4, 7):
        return {}
    if temperature is not None:
        return {"temperature": min(temperature, 1)}  # Claude 4.1 and later refuse both at once
    return {} if top_p is None else {"top_p": top_p}


def _version(model: str) -> tuple[int, int]:
    """``claude-opus-4-7`` as ``(4, 7)``; a Claude without a number is a newer one, another model an older."""
    if match := _VERSION.search(model):
        return int(match[1]), int(match[2] or 0)
    return _UNKNOWN if "claude" in model else (0, 0)


def _think(body: dict[str, Any], output: dict[str, Any], effort: str) -> None:
    """https://platform.claude.com/docs/en/build-with-claude/thinking"""
    forced = body.get("tool_choice", {}).get("type") in ("any", "tool")
    if _version(body["model"]) >= (4, 6):
        output["effort"] = _EFFORTS.get(effort, effort)
        if not forced and effort != "none":
            body["thinking"] = {"type": "adaptive", "display": "summarized"}
        return
    most = max(_LEAST_BUDGET, body["max_tokens"] // 2)
    budget = min(_BUDGETS.get(effort, _LEAST_BUDGET), most)
    if not forced and effort != "none" and budget < body["max_tokens"] and _may_think(body["messages"]):
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _may_think(turns: Sequence[Turn]) -> bool:
    """A turn that began without thinking has to end without: the API wants the thoughts before the latest calls."""
    if turns[-1]["content"][0]["type"] != "tool_result":
        return True
    return turns[-2]["content"][0]["type"] in THINKING


def _tools(call: ModelCall, turns: Sequence[Turn]) -> dict[str, Any]:
    if not call.tools:
        # Calls of the past need their tools declared, even when nothing may be called any more.
        used = {block["name"]: None for turn in turns for block in turn["content"] if block["type"] == "tool_use"}
        tools = [{"name": name, "input_schema": {"type": "object"}} for name in used]
        return {"tools": tools, "tool_choice": {"type": "none"}} if tools else {}
    choice = _choice(call.tool_choice)
    if call.sampling.get("parallel_tool_calls") is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return {"tools": [_tool(tool["function"]) for tool in call.tools], "tool_choice": choice}


def _tool(function: Mapping[str, Any]) -> Block:
    schema = {"type": "object", **(function.get("parameters") or {})}
    tool: Block = {"name": function["name"], "input_schema": schema}
    if description := function.get("description"):
        tool["description"] = description
    if function.get("strict"):
        tool.update(strict=True, input_schema=_closed(schema))
    return tool


def _choice(choice: str | Mapping[str, Any] | None) -> dict[str, Any]:
    if isinstance(choice, Mapping):
        return {"type": "tool", "name": choice["function"]["name"]}
    return {"type": {"required": "any", "none": "none"}.get(choice or "auto", "auto")}


def _closed(schema: Any) -> Any:
    """The schema with ``additionalProperties: false`` on each object, which the API demands.

    https://platform.claude.com/docs/en/build-with-claude/structured-outputs
    """
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: value if key in _NOT_SCHEMAS else _closed(value) for key, value in schema.items()}
    kind = schema.get("type")
    if kind == "object" or (isinstance(kind, list) and "object" in kind):
        closed["additionalProperties"] = False
    return closed


def _mark_for_cache(body: dict[str, Any]) -> None:
    """Ends of what the next call will repeat: tools, system, and the conversation so far. At most 4 are allowed.

    https://platform.claude.com/docs/en/build-with-claude/prompt-caching
    """
    for blocks in (body.get("tools"), body.get("system"), body["messages"][-1]["content"]):
        if blocks:
            blocks[-1] = {**blocks[-1], "cache_control": _CACHED}
