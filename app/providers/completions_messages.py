"""A conversation as each OpenAI-compatible server takes it, without what only the gateway knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from app.config.settings import NO_COMPAT, Compat
from app.providers import tool_ids
from app.providers.state import Block, blocks_of, present_turn
from app.providers.stream import Message, text_of

API = "openai-completions"

# Members of a message that every server knows.
_PLAIN = frozenset({"role", "content", "tool_calls", "tool_call_id"})
# What the assistant "says" where a server wants an answer between a tool's result and the user's next words.
CONTINUE = "I have processed the tool results."


def messages_for(messages: Sequence[Message], reference: str, compat: Compat) -> list[Message]:
    """reference: the ``provider/model`` that is asked; it gets back what it wanted back of the present turn."""
    ids = tool_ids.MISTRAL if compat.requires_mistral_tool_ids else tool_ids.COMPLETIONS
    present: int | None = None
    names: dict[str, str] = {}
    sent: list[Message] = []
    for position, message in enumerate(tool_ids.rewritten(messages, ids)):
        role = message["role"]
        if role == "assistant" and not message.get("tool_calls") and not _says_something(message):
            # Servers refuse it, and with it every later request of its session.
            continue
        if compat is NO_COMPAT and "state" not in message and "failed" not in message:
            sent.append(message)
            continue
        told = {name: value for name, value in message.items() if name not in ("state", "failed")}
        if role == "assistant":
            if present is None:
                present = present_turn(messages)
            goes_back = position > present or compat.requires_reasoning_content_on_assistant_messages
            _give_back(told, blocks_of(message, API, reference) if goes_back else (), compat)
            names.update((call["id"], call["function"]["name"]) for call in message.get("tool_calls") or ())
        elif role == "tool" and compat.requires_tool_result_name:
            told["name"] = names.get(message["tool_call_id"], "tool")
        if compat.requires_assistant_after_tool_result and _follows_result(sent, message):
            sent.append({"role": "assistant", "content": CONTINUE})
        sent.append(told if compat is NO_COMPAT else _adapted(told, compat))
    return sent


def _says_something(message: Message) -> bool:
    content = message.get("content")
    return bool(text_of(message)) if not isinstance(content, list) else bool(content)


def _follows_result(sent: Sequence[Message], message: Message) -> bool:
    return bool(sent) and sent[-1]["role"] == "tool" and message["role"] == "user"


def _give_back(told: Message, kept: Sequence[Block], compat: Compat) -> None:
    """Put what the server wants back into its own message."""
    calls: Iterator[Any] = iter(told.get("tool_calls") or ())
    given = []
    for block in kept:
        if block["type"] == "reasoning":
            fields = block["fields"]
            if compat.requires_thinking_as_text:
                thoughts = fields.get("reasoning_content") or ""
                told["content"] = "\n\n".join(filter(None, (thoughts, text_of(told)))) or None
            else:
                told.update(fields)
        elif block["type"] == "call" and (call := next(calls, None)) is not None:
            given.append({**call, "extra_content": block["extra_content"]} if "extra_content" in block else call)
    if given:
        told["tool_calls"] = [*given, *calls]
    if compat.requires_reasoning_content_on_assistant_messages:
        told.setdefault("reasoning_content", "")
    if compat.requires_assistant_after_tool_result and told.get("content") is None:
        told["content"] = ""


def _adapted(told: Message, compat: Compat) -> Message:
    content = told.get("content")
    if compat.requires_string_content and isinstance(content, list) and all(part["type"] == "text" for part in content):
        told["content"] = text_of(told)
    if compat.strict_message_keys:
        return {name: value for name, value in told.items() if name in _PLAIN}
    return told
