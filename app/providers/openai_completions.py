"""``openai-completions``: any server that speaks the OpenAI Chat Completions API, always streamed.

Wire format: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from app.errors import ProviderError
from app.providers.faults import error_text, raise_for_status
from app.providers.stream import FINISH_REASONS, Began, Completed, Delta, ModelCall, ReasoningDelta, TextDelta, Usage
from app.providers.upstream import Answer, Upstream

log = logging.getLogger("gateway.providers")

# Once the finish reason is here only usage and [DONE] can follow; some servers never send them.
AFTER_FINISH_TIMEOUT = 5.0
AFTER_DONE_TIMEOUT = 0.2


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
            "messages": call.messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            **call.sampling,
        }
        limit = payload.pop("max_tokens", None)
        if limit is not None:
            payload[self._max_tokens_field] = limit
        return payload


def _deltas(provider: str, answer: Answer, secrets: Sequence[str]) -> Iterator[Delta]:
    finish: str | None = None
    usage = Usage()
    began = False
    try:
        for line in answer.lines():
            if not line.startswith(b"data:"):
                continue  # comments, event names and the blank lines between events
            data = line[5:].strip()
            if data == b"[DONE]":
                # Read on to the message's end, or the connection can't be used again; but all that matters is here.
                answer.hurry(AFTER_DONE_TIMEOUT)
                continue
            if not data:
                continue
            chunk = _parse(provider, data)
            if error := chunk.get("error"):
                raise ProviderError(f"provider {provider} failed: {error_text(error, secrets)}")
            if not began:
                began = True
                yield Began()
            if reported := chunk.get("usage"):
                usage = _usage(reported)
            for choice in chunk.get("choices") or ():
                delta = choice.get("delta") or {}
                if text := delta.get("content"):
                    yield TextDelta(_checked(text))
                if text := delta.get("reasoning_content") or delta.get("reasoning"):
                    yield ReasoningDelta(_checked(text))
                if (reason := choice.get("finish_reason")) == "error":
                    raise ProviderError(f"provider {provider} says that its generation failed")
                if reason:
                    finish = reason if reason in FINISH_REASONS else "stop"
                    answer.hurry(AFTER_FINISH_TIMEOUT)
    except (AttributeError, TypeError) as error:
        raise ProviderError(f"provider {provider} sent an event of an unknown shape") from error
    except ProviderError as error:
        if finish is None:
            raise
        log.info("provider %s did not close its stream after the finish reason: %s", provider, error)
    if finish is None:
        what = "ended its answer without a finish reason" if began else "sent an empty answer"
        raise ProviderError(f"provider {provider} {what}")
    yield Completed(finish, usage)


def _parse(provider: str, data: bytes) -> dict[str, Any]:
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError:
        chunk = _parse_leniently(data)
    if not isinstance(chunk, dict):
        raise ProviderError(f"provider {provider} sent a line that is not a JSON object")
    return chunk


def _checked(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError(f"text expected, found {type(text).__name__}")
    return text


def _parse_leniently(data: bytes) -> Any:
    """Servers that cut an emoji between two chunks send lone surrogates, which orjson refuses."""
    try:
        text = json.dumps(json.loads(data), ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _usage(reported: Any) -> Usage:
    if not isinstance(reported, dict):
        return Usage()
    details = reported.get("prompt_tokens_details") or {}
    return Usage(
        _count(reported.get("prompt_tokens")),
        _count(reported.get("completion_tokens")),
        _count(details.get("cached_tokens")),
    )


def _count(tokens: Any) -> int:
    return tokens if type(tokens) is int and tokens > 0 else 0
