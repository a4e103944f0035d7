"""A model call as the body of a request to the OpenAI Responses API.

Source: https://platform.openai.com/docs/api-reference/responses/create. Nothing is stored there: each call brings the
whole conversation. ``stop``, ``seed``, ``logit_bias`` and penalties have no counterpart and are not sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.config.settings import Model
from app.errors import ProviderRefused
from app.providers import tool_ids
from app.providers.compat import adapted
from app.providers.request_fields import COMPLETIONS
from app.providers.state import blocks_of, in_order
from app.providers.stream import Message, ModelCall, text_of

API = "openai-responses"
# OpenAI refuses a lower limit there.
LEAST_TOKENS = 16

Item = dict[str, Any]


def payload(call: ModelCall, model: Model, reference: str, fields: frozenset[str], *, by_key: bool) -> dict[str, Any]:
    """The request's body. Raises ProviderRefused for content that the format has no place for.

    reference: ``provider/model``. fields: names of the caller's fields that the server is sent. by_key: it takes a
    ``prompt_cache_key``.
    """
    call = adapted(call, model.compat)
    sampling = {name: value for name, value in call.sampling.items() if name in fields}
    messages = tool_ids.rewritten(call.messages, tool_ids.RESPONSES)
    body: dict[str, Any] = {"model": call.model, "input": list(_items(messages, reference)), "stream": True}
    body["store"] = False
    body.update((name, value) for name, value in sampling.items() if name not in COMPLETIONS and name != "verbosity")
    if by_key and call.cache_key:
        body.setdefault("prompt_cache_key", call.cache_key)
    if instructions := "\n\n".join(filter(None, (_system(message) for message in call.messages))):
        body["instructions"] = instructions
    for ours, theirs in (("temperature",) * 2, ("top_p",) * 2, ("max_tokens", "max_output_tokens")):
        if sampling.get(ours) is not None:
            body[theirs] = max(sampling[ours], LEAST_TOKENS) if theirs == "max_output_tokens" else sampling[ours]
    text = {"format": _format(sampling.get("response_format") or {}), "verbosity": sampling.get("verbosity")}
    if any(text.values()):
        body["text"] = {name: value for name, value in text.items() if value}
    reasoning = {"effort": sampling.get("reasoning_effort"), "summary": "auto" if model.reasoning else None}
    if any(reasoning.values()):
        body["reasoning"] = {name: value for name, value in reasoning.items() if value}
    if model.reasoning:
        body["include"] = ["reasoning.encrypted_content"]
    if call.tools:
        body["tools"] = [_tool(tool["function"]) for tool in call.tools]
        if call.tool_choice is not None:
            body["tool_choice"] = _choice(call.tool_choice)
        if sampling.get("parallel_tool_calls") is not None:
            body["parallel_tool_calls"] = sampling["parallel_tool_calls"]
    return {**body, **model.body} if model.body else body


def _system(message: Message) -> str:
    return text_of(message) if message["role"] in ("system", "developer") else ""


def _items(messages: Sequence[Message], reference: str) -> Iterator[Item]:
    for message in messages:
        role, content = message["role"], message.get("content")
        if role == "user":
            yield {"type": "message", "role": "user", "content": _parts(content)}
        elif role == "assistant":
            kept = blocks_of(message, API, reference)
            for kind, part in in_order(kept, text_of(message), message.get("tool_calls") or ()):
                if kind == "kept":
                    yield part
                elif kind == "call":
                    yield {"type": "function_call", "call_id": part["id"], **part["function"]}
                elif part["text"]:
                    yield _said(part)
        elif role == "tool":
            output = content if isinstance(content, str) else _parts(content)
            yield {"type": "function_call_output", "call_id": message["tool_call_id"], "output": output}


def _said(part: Item) -> Item:
    # As plain text: a part of type output_text belongs to a message with an id, which nobody stored.
    item: Item = {"type": "message", "role": "assistant", "content": part["text"]}
    if phase := part.get("phase"):
        item["phase"] = phase
    return item


def _parts(content: Any) -> list[Item]:
    if isinstance(content, str):
        return [{"type": "input_text", "text": content}]
    return [_part(part) for part in content or ()]


def _part(part: Mapping[str, Any]) -> Item:
    if part["type"] == "text":
        return {"type": "input_text", "text": part["text"]}
    if part["type"] == "image_url":
        image = part["image_url"]
        return {"type": "input_image", "image_url": image["url"], "detail": image.get("detail") or "auto"}
    raise ProviderRefused(f"a content part of type {part['type']} can't be sent to a model of {API}")


def _tool(function: Mapping[str, Any]) -> Item:
    tool: Item = {
        "type": "function",
        "name": function["name"],
        "parameters": function.get("parameters") or {"type": "object", "properties": {}},
        # Unlike in Chat Completions a tool is strict there unless it says that it isn't.
        "strict": bool(function.get("strict")),
    }
    if description := function.get("description"):
        tool["description"] = description
    return tool


def _choice(choice: str | Mapping[str, Any]) -> str | Item:
    return choice if isinstance(choice, str) else {"type": "function", "name": choice["function"]["name"]}


def _format(form: Mapping[str, Any]) -> Item | None:
    if form.get("type") == "json_schema":
        return {"type": "json_schema", **(form.get("json_schema") or {})}
    return {"type": "json_object"} if form.get("type") == "json_object" else None
