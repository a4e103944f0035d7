"""How a run looks as a chat completion, whole or in chunks.

Source: https://platform.openai.com/docs/api-reference/chat/object and …/chat-streaming
"""

from __future__ import annotations

import time
from typing import Any

import orjson

from app.agents.answer import Answer
from app.agents.events import Ended
from app.agents.run import Run
from app.providers.stream import ToolCallDelta, Usage

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"


def usage_of(usage: Usage) -> dict[str, Any]:
    """What no provider told is absent, but for the cached tokens: those are 0."""
    prompt = {"cached_tokens": usage.cached}
    if usage.written is not None:
        prompt["cache_write_tokens"] = usage.written
    shown: dict[str, Any] = {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": prompt,
    }
    if usage.details:
        shown["completion_tokens_details"] = dict(usage.details)
    return shown


def _of_provider(answer: Answer) -> dict[str, Any]:
    """What the provider told of how it answered, as far as it holds for the whole run."""
    told = {}
    if (tier := answer.service_tier) is not None:
        told["service_tier"] = tier
    if answer.fingerprint is not None:
        told["system_fingerprint"] = answer.fingerprint
    return told


def completion(run: Run, model: str, ended: Ended, *, reasoning: bool) -> bytes:
    """The body of a non-streaming answer."""
    answer = run.answer
    refusal = "".join(answer.refusal) or None
    # An answer without text is an empty one, unless something else stands in its place.
    content = answer.text or (None if answer.calls or refusal else "")
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal}
    if answer.calls:
        message["tool_calls"] = answer.calls
    if reasoning and answer.reasoning:
        message["reasoning_content"] = "".join(answer.reasoning)
    return orjson.dumps(
        {
            "id": f"chatcmpl_{run.id}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model,
            "choices": [
                {"index": 0, "message": message, "finish_reason": ended.finish_reason, "logprobs": None},
            ],
            "usage": usage_of(ended.usage),
            **_of_provider(answer),
            **({} if run.turn.metadata is None else {"metadata": run.turn.metadata}),
        }
    )


class Chunks:
    """Renders one run's stream. What every chunk has in common is encoded once.

    What the provider tells of how it answered is known at the end: it stands in the last chunks.
    """

    def __init__(self, run: Run, model: str, *, include_usage: bool) -> None:
        self._answer = run.answer
        common = orjson.dumps(
            {
                "id": f"chatcmpl_{run.id}",
                "object": "chat.completion.chunk",
                "created": int(time.time()),
                "model": model,
            }
        )[:-1]
        self._head = b"data: " + common
        self._delta = self._head + b',"choices":[{"index":0,"delta":'
        self._tail = b"}\n\n"
        if include_usage:
            self._tail = b',"usage":null}\n\n'
        self._more = b',"finish_reason":null,"logprobs":null}]' + self._tail
        self._text = self._delta + b'{"content":'
        self._text_end = b"}" + self._more
        self._include_usage = include_usage

    def role(self) -> bytes:
        return self._delta + b'{"role":"assistant","content":""}' + self._more

    def text(self, text: str) -> bytes:
        return self._text + orjson.dumps(text) + self._text_end

    def refusal(self, text: str) -> bytes:
        return self._delta + b'{"refusal":' + orjson.dumps(text) + self._text_end

    def reasoning(self, text: str) -> bytes:
        return self._delta + b'{"reasoning_content":' + orjson.dumps(text) + self._text_end

    def tool_call(self, part: ToolCallDelta) -> bytes:
        """The first part of a call has its id and name, the others only more of its arguments."""
        function = {"arguments": part.arguments}
        call: dict[str, Any] = {"index": part.index, "function": function}
        if part.name:
            call = {"index": part.index, "id": part.id, "type": "function", "function": {"name": part.name, **function}}
        return self._delta + b'{"tool_calls":[' + orjson.dumps(call) + b"]}" + self._more

    def end(self, ended: Ended) -> bytes:
        """The finish chunk, the usage chunk if asked for, ``[DONE]``; for a failed run its error instead of chunks."""
        if ended.error is not None:
            return b"data: " + orjson.dumps(ended.error.envelope()) + b"\n\n" + DONE
        told = b"".join(b",%b:%b" % (orjson.dumps(k), orjson.dumps(v)) for k, v in _of_provider(self._answer).items())
        reason = orjson.dumps(ended.finish_reason)
        finish = b'%b{},"finish_reason":%b,"logprobs":null}]%b%b' % (self._delta, reason, told, self._tail)
        if not self._include_usage:
            return finish + DONE
        usage = b'%b,"choices":[],"usage":%b%b}\n\n' % (self._head, orjson.dumps(usage_of(ended.usage)), told)
        return finish + usage + DONE
