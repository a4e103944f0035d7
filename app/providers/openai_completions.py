"""``openai-completions``: any server that speaks the OpenAI Chat Completions API, always streamed.

Wire format: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from app.errors import ProviderError
from app.providers import sse
from app.providers.faults import raise_for_status, stream_fault
from app.providers.sse import checked, count, events
from app.providers.stream import (
    FINISH_REASONS,
    Began,
    Completed,
    Delta,
    Message,
    ModelCall,
    ReasoningDelta,
    TextDelta,
    Usage,
)
from app.providers.tool_calls import ToolCalls
from app.providers.upstream import Answer, Upstream

log = logging.getLogger("gateway.providers")


class OpenAICompletions:
    """One provider.

    max_tokens_field: the name that the token limit has on this server's wire.
    """

    def __init__(self, upstream: Upstream, max_tokens_field: str = "max_tokens") -> None:
        self._upstream = upstream
        self._max_tokens_field = max_tokens_field

    def stream(self, call: ModelCall) -> Iterator[Delta]:
        answer = self._upstream.post("/chat/completions", orjson.dumps(self._payload(call)))
        try:
            raise_for_status(self._upstream.provider, answer, self._upstream.secrets)
            yield from _deltas(self._upstream.provider, answer, self._upstream.secrets)
        finally:
            answer.close()

    def _payload(self, call: ModelCall) -> dict[str, Any]:
        payload = {
            "model": call.model,
            "messages": [_public(message) for message in call.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            **call.sampling,
        }
        if call.tools:
            payload["tools"] = call.tools
            if call.tool_choice is not None:
                payload["tool_choice"] = call.tool_choice
        else:
            payload.pop("parallel_tool_calls", None)
        limit = payload.pop("max_tokens", None)
        if limit is not None:
            payload[self._max_tokens_field] = limit
        return payload


def _public(message: Message) -> Message:
    """The message without the fields that only the gateway knows; servers refuse what they don't."""
    if "state" in message or "failed" in message:
        return {name: value for name, value in message.items() if name not in ("state", "failed")}
    return message


def _deltas(provider: str, answer: Answer, secrets: Sequence[str]) -> Iterator[Delta]:
    finish: str | None = None
    usage = Usage()
    began = False
    calls: ToolCalls | None = None
    try:
        for chunk in events(provider, answer):
            if error := chunk.get("error"):
                raise stream_fault(provider, error, secrets)
            if not began:
                began = True
                yield Began()
            if reported := chunk.get("usage"):
                usage = _usage(reported)
            for choice in chunk.get("choices") or ():
                delta = choice.get("delta") or {}
                if text := delta.get("content"):
                    yield TextDelta(checked(text))
                if text := delta.get("reasoning_content") or delta.get("reasoning"):
                    yield ReasoningDelta(checked(text))
                if fragments := delta.get("tool_calls"):
                    calls = calls or ToolCalls()
                    yield from calls.read(fragments)
                if (reason := choice.get("finish_reason")) == "error":
                    raise ProviderError(f"provider {provider} says that its generation failed")
                if reason:
                    finish = reason if reason in FINISH_REASONS else "stop"
                    answer.hurry(sse.AFTER_FINISH_TIMEOUT)
    except (AttributeError, TypeError) as error:
        raise sse.unknown_shape(provider) from error
    except ProviderError as error:
        if finish is None:
            raise
        log.info("provider %s did not close its stream after the finish reason: %s", provider, error)
    if finish is None:
        raise sse.unfinished(provider, began)
    if calls is not None and finish == "stop":
        finish = "tool_calls"  # some servers say "stop", or "function_call" as in the older API
    yield Completed(finish, usage)


def _usage(reported: Any) -> Usage:
    if not isinstance(reported, dict):
        return Usage()
    details = reported.get("prompt_tokens_details") or {}
    return Usage(
        count(reported.get("prompt_tokens")),
        count(reported.get("completion_tokens")),
        count(details.get("cached_tokens")),
    )
