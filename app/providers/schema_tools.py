"""Tools for a model that knows none: it fills in a JSON schema that says which tool is called, if any.

Small models answer ``tools`` with plain text, but keep to a grammar; so the choice is made part of one. A model that
chooses no tool is asked again, without any, and answers as it always does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from app.ids import new_call_id
from app.providers.stream import Began, Completed, Delta, Message, ModelCall, TextDelta, ToolCallDelta, Usage, text_of

_RULES = """You choose tools. Tools:
{tools}
Answer with JSON: {{"tool": "<name>", "arguments": {{}}}}"""
_NONE = "- none: no tool is needed, just talk\n"

# Tokens. A choice is short, and a small model may go on for ever.
CHOICE_MAX_TOKENS = 512

Stream = Callable[[ModelCall], Iterator[Delta]]


def stream_with_tools(call: ModelCall, stream: Stream) -> Iterator[Delta]:
    """The answer to a call with ``tools``, from a model whose ``stream`` knows none."""
    plain = call._replace(messages=in_words(call.messages), tools=(), tool_choice=None)
    free = call.tool_choice in (None, "auto")
    # A small model that has its result would ask for it again and again.
    if not call.tools or call.tool_choice == "none" or (free and call.messages[-1]["role"] == "tool"):
        yield from stream(plain)
        return
    said, completed = [], Completed("stop", Usage())
    for delta in stream(_choosing(call, plain, free)):
        if isinstance(delta, TextDelta):
            said.append(delta.text)
        elif isinstance(delta, Completed):
            completed = delta
        else:
            yield delta
    name, arguments = _choice("".join(said))
    if name and any(tool["function"]["name"] == name for tool in call.tools):
        yield ToolCallDelta(0, new_call_id(), name, arguments)
        yield Completed("tool_calls", completed.usage)
        return
    for delta in stream(plain):
        if isinstance(delta, Completed):
            yield delta._replace(usage=delta.usage.plus(completed.usage))
        elif not isinstance(delta, Began):
            yield delta


def _choosing(call: ModelCall, plain: ModelCall, free: bool) -> ModelCall:
    """The call that chooses a tool and writes its arguments."""
    functions = [tool["function"] for tool in call.tools]
    if isinstance(call.tool_choice, Mapping):
        functions = [function for function in functions if function["name"] == call.tool_choice["function"]["name"]]
    options = [_object(tool={"const": "none"})] if free else []
    for function in functions:
        arguments = function.get("parameters") or {"type": "object"}
        place = f"#/anyOf/{len(options)}/properties/arguments"
        options.append(_object(tool={"const": function["name"]}, arguments=_moved(arguments, place)))
    told = "\n".join(f"- {function['name']}: {function.get('description', '')}" for function in functions)
    rules = _RULES.format(tools=(_NONE if free else "") + told)
    schema = {"type": "json_schema", "json_schema": {"name": "choice", "schema": {"anyOf": options}}}
    others = [message for message in plain.messages if message["role"] != "system"]
    # The caller's sampling is for the answer; a choice is best made without chance.
    return plain._replace(
        messages=[{"role": "system", "content": rules}, *others],
        sampling={"response_format": schema, "temperature": 0, "max_tokens": CHOICE_MAX_TOKENS},
    )


def _choice(text: str) -> tuple[str, str]:
    """(name, arguments as JSON) of the chosen tool; an empty name for none, or for an answer that was cut short."""
    try:
        chosen = orjson.loads(text)
        if isinstance(chosen, dict) and isinstance(chosen.get("tool"), str):
            return chosen["tool"], orjson.dumps(chosen.get("arguments") or {}).decode()
    except (orjson.JSONDecodeError, TypeError):  # the latter for what is nested deeper than is ever written
        return "", ""
    return "", ""


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _moved(schema: Any, place: str) -> Any:
    """A schema that stands at ``place`` within another: its own references begin there."""
    if isinstance(schema, list):
        return [_moved(inner, place) for inner in schema]
    if not isinstance(schema, Mapping):
        return schema
    moved = {key: _moved(value, place) for key, value in schema.items()}
    if isinstance(target := schema.get("$ref"), str) and target.startswith("#"):
        moved["$ref"] = place + target[1:]
    return moved


def in_words(messages: Sequence[Message]) -> list[Message]:
    """Tool calls and results as plain messages: the templates of models without tools have no place for them."""
    names: dict[str, str] = {}
    told: list[Message] = []
    for message in messages:
        if calls := message.get("tool_calls"):
            names.update((call["id"], call["function"]["name"]) for call in calls)
            said = [text_of(message)] if text_of(message) else []
            said += [f"I use {call['function']['name']} {call['function']['arguments']}" for call in calls]
            told.append({"role": "assistant", "content": "\n".join(said)})
        elif message["role"] == "tool":
            name = names.get(message["tool_call_id"], "the tool")
            told.append({"role": "user", "content": f"Result of {name}: {text_of(message)}"})
        else:
            told.append(message)
    return told
