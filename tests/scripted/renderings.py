"""One scripted answer in each wire format: what a step says, as the events of the path that it was asked on."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

UsagePlace = Literal["own", "finish", "every"]
# What stands on the wire: the event's name, if the format has names, and its data.
Event = tuple[str | None, dict[str, Any]]


@dataclass(frozen=True)
class Usage:
    prompt: int
    completion: int
    cached: int = 0


@dataclass(frozen=True, init=False)
class ToolCall:
    id: str
    name: str
    fragments: tuple[str, ...]

    def __init__(self, id: str, name: str, *fragments: str) -> None:
        vars(self).update(id=id, name=name, fragments=fragments)

    @property
    def arguments(self) -> str:
        return "".join(self.fragments)


class Rendering(Protocol):
    """One answer. Its methods are called in the order in which they stand here."""

    last: bytes

    def opening(self) -> Iterator[Event]: ...
    def reasoning(self, text: str) -> Iterator[Event]: ...
    def text(self, text: str) -> Iterator[Event]: ...
    def call(self, call: ToolCall) -> Iterator[Event]: ...
    def finish(self, reason: str) -> Iterator[Event]: ...
    def closing(self) -> Iterator[Event]: ...
    def error(self, message: str, kind: str) -> Iterator[Event]: ...
    def envelope(self, message: str, kind: str) -> dict[str, Any]: ...


class Chat:
    """https://platform.openai.com/docs/api-reference/chat-streaming"""

    api = "openai-completions"
    last = b"data: [DONE]\n\n"

    def __init__(self, body: dict[str, Any], usage: Usage | None, usage_in: UsagePlace) -> None:
        self._model = body.get("model")
        asked = (body.get("stream_options") or {}).get("include_usage")
        self._usage = {"usage": _chat_usage(usage)} if usage and asked else {}
        self._usage_in = usage_in
        self._calls = 0

    def opening(self) -> Iterator[Event]:
        yield self._delta({"role": "assistant", "content": ""})

    def reasoning(self, text: str) -> Iterator[Event]:
        yield self._delta({"reasoning_content": text})

    def text(self, text: str) -> Iterator[Event]:
        yield self._delta({"content": text})

    def call(self, call: ToolCall) -> Iterator[Event]:
        function = {"name": call.name, "arguments": ""}
        index = self._calls
        self._calls += 1
        yield self._delta({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]})
        for fragment in call.fragments:
            yield self._delta({"tool_calls": [{"index": index, "function": {"arguments": fragment}}]})

    def finish(self, reason: str) -> Iterator[Event]:
        yield self._delta({}, reason)

    def closing(self) -> Iterator[Event]:
        if self._usage and self._usage_in == "own":
            yield None, self.chunk(choices=[], **self._usage)

    def error(self, message: str, kind: str) -> Iterator[Event]:
        yield None, self.envelope(message, kind)

    def envelope(self, message: str, kind: str) -> dict[str, Any]:
        return {"error": {"message": message, "type": kind, "param": None, "code": None}}

    def completion(self, content: str, finish: str) -> dict[str, Any]:
        choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
        return self.chunk(choices=[choice], **self._usage) | {"object": "chat.completion"}

    def chunk(self, **fields: Any) -> dict[str, Any]:
        head = {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1, "model": self._model}
        return {**head, **fields}

    def _delta(self, delta: dict[str, Any], finish: str | None = None) -> Event:
        here = self._usage_in == "every" or (finish and self._usage_in == "finish")
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return None, self.chunk(choices=[choice], **(self._usage if here else {}))


class Messages:
    """https://platform.claude.com/docs/en/build-with-claude/streaming"""

    api = "anthropic-messages"
    last = b""
    REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}

    def __init__(self, body: dict[str, Any], usage: Usage | None, usage_in: UsagePlace) -> None:
        self._model = body.get("model")
        self._usage = usage or Usage(0, 0)
        self._index = -1
        self._open: str | None = None
        self._thoughts = ""

    def opening(self) -> Iterator[Event]:
        head: dict[str, Any] = {
            "id": "msg_scripted",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
        }
        usage = {
            "input_tokens": self._usage.prompt - self._usage.cached,
            "cache_read_input_tokens": self._usage.cached,
            "cache_creation_input_tokens": 0,
            "output_tokens": 1 if self._usage.completion else 0,
        }
        yield self._event("message_start", message={**head, "stop_reason": None, "usage": usage})
        yield self._event("ping")

    def reasoning(self, text: str) -> Iterator[Event]:
        yield from self._begin("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        self._thoughts += text
        yield self._delta({"type": "thinking_delta", "thinking": text})

    def text(self, text: str) -> Iterator[Event]:
        yield from self._begin("text", {"type": "text", "text": ""})
        yield self._delta({"type": "text_delta", "text": text})

    def call(self, call: ToolCall) -> Iterator[Event]:
        yield from self._end()
        yield from self._begin("tool_use", {"type": "tool_use", "id": call.id, "name": call.name, "input": {}})
        for fragment in ("", *call.fragments):
            yield self._delta({"type": "input_json_delta", "partial_json": fragment})

    def finish(self, reason: str) -> Iterator[Event]:
        yield from self._end()
        delta = {"stop_reason": self.REASONS.get(reason, reason), "stop_sequence": None}
        yield self._event("message_delta", delta=delta, usage={"output_tokens": self._usage.completion})
        yield self._event("message_stop")

    def closing(self) -> Iterator[Event]:
        yield from ()

    def error(self, message: str, kind: str) -> Iterator[Event]:
        yield "error", self.envelope(message, kind)

    def envelope(self, message: str, kind: str) -> dict[str, Any]:
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_scripted"}

    def _begin(self, kind: str, block: dict[str, Any]) -> Iterator[Event]:
        if self._open == kind:
            return
        yield from self._end()
        self._index += 1
        self._open = kind
        yield self._event("content_block_start", index=self._index, content_block=block)

    def _end(self) -> Iterator[Event]:
        if self._open == "thinking":
            yield self._delta({"type": "signature_delta", "signature": signature(self._thoughts)})
            self._thoughts = ""
        if self._open:
            yield self._event("content_block_stop", index=self._index)
        self._open = None

    def _delta(self, delta: dict[str, Any]) -> Event:
        return self._event("content_block_delta", index=self._index, delta=delta)

    def _event(self, kind: str, **fields: Any) -> Event:
        return kind, {"type": kind, **fields}


class Responses:
    """https://platform.openai.com/docs/api-reference/responses-streaming"""

    api = "openai-responses"
    last = b""

    def __init__(self, body: dict[str, Any], usage: Usage | None, usage_in: UsagePlace) -> None:
        self._model = body.get("model")
        self._encrypted = "reasoning.encrypted_content" in (body.get("include") or ())
        self._usage = usage
        self._sequence = 0
        self._output: list[dict[str, Any]] = []
        self._item: dict[str, Any] | None = None

    def opening(self) -> Iterator[Event]:
        yield self._event("response.created", response=self._response("in_progress"))
        yield self._event("response.in_progress", response=self._response("in_progress"))

    def reasoning(self, text: str) -> Iterator[Event]:
        thoughts = {"encrypted_content": ""} if self._encrypted else {}
        if (yield from self._begin({"type": "reasoning", "id": f"rs_{len(self._output)}", "summary": [], **thoughts})):
            part = {"type": "summary_text", "text": ""}
            yield self._on_item("response.reasoning_summary_part.added", summary_index=0, part=part)
            self._current["summary"].append(part)
        self._current["summary"][0]["text"] += text
        yield self._on_item("response.reasoning_summary_text.delta", summary_index=0, delta=text)

    def text(self, text: str) -> Iterator[Event]:
        item = {"type": "message", "id": f"msg_{len(self._output)}", "role": "assistant", "content": []}
        if (yield from self._begin(item)):
            part = {"type": "output_text", "text": "", "annotations": []}
            yield self._on_item("response.content_part.added", content_index=0, part=part)
            self._current["content"].append(part)
        self._current["content"][0]["text"] += text
        yield self._on_item("response.output_text.delta", content_index=0, delta=text)

    def call(self, call: ToolCall) -> Iterator[Event]:
        yield from self._end()
        id = f"fc_{len(self._output)}"
        item = {"type": "function_call", "id": id, "call_id": call.id, "name": call.name, "arguments": ""}
        yield from self._begin(item)
        for fragment in call.fragments:
            self._current["arguments"] += fragment
            yield self._on_item("response.function_call_arguments.delta", delta=fragment)

    def finish(self, reason: str) -> Iterator[Event]:
        yield from self._end()
        details = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(reason)
        status = "incomplete" if details else "completed"
        response = self._response(status)
        if details:
            response["incomplete_details"] = {"reason": details}
        if self._usage:
            response["usage"] = {
                "input_tokens": self._usage.prompt,
                "input_tokens_details": {"cached_tokens": self._usage.cached},
                "output_tokens": self._usage.completion,
                "total_tokens": self._usage.prompt + self._usage.completion,
            }
        yield self._event(f"response.{status}", response=response)

    def closing(self) -> Iterator[Event]:
        yield from ()

    def error(self, message: str, kind: str) -> Iterator[Event]:
        yield self._event("error", code=kind, message=message, param=None)

    def envelope(self, message: str, kind: str) -> dict[str, Any]:
        return {"error": {"message": message, "type": kind, "param": None, "code": None}}

    @property
    def _current(self) -> dict[str, Any]:
        assert self._item is not None
        return self._item

    def _begin(self, item: dict[str, Any]) -> Generator[Event, None, bool]:
        """Returns whether a new item was begun."""
        if self._item and self._item["type"] == item["type"]:
            return False
        yield from self._end()
        self._item = item
        yield self._event("response.output_item.added", output_index=len(self._output), item=item)
        return True

    def _end(self) -> Iterator[Event]:
        if self._item is None:
            return
        item, self._item = self._item, None
        if item["type"] == "reasoning" and self._encrypted:
            item["encrypted_content"] = signature(item["summary"][0]["text"])
        done = {**item, "status": "completed"}
        yield self._event("response.output_item.done", output_index=len(self._output), item=done)
        self._output.append(done)

    def _on_item(self, kind: str, **fields: Any) -> Event:
        return self._event(kind, item_id=self._current["id"], output_index=len(self._output), **fields)

    def _event(self, kind: str, **fields: Any) -> Event:
        self._sequence += 1
        return kind, {"type": kind, "sequence_number": self._sequence, **fields}

    def _response(self, status: str) -> dict[str, Any]:
        head = {"id": "resp_scripted", "object": "response", "model": self._model, "status": status}
        return {**head, "output": list(self._output), "error": None, "incomplete_details": None, "usage": None}


RENDERINGS: dict[str, type[Chat] | type[Messages] | type[Responses]] = {
    "/v1/chat/completions": Chat,
    "/v1/messages": Messages,
    "/v1/responses": Responses,
}


def signature(thoughts: str) -> str:
    """What the scripted provider signs thoughts with, and encrypts them to."""
    return f"signed:{thoughts}"


def encoded(event: Event, end: str = "\n\n") -> bytes:
    name, data = event
    head = f"event: {name}{end[: len(end) // 2]}" if name else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}{end}".encode()


def _chat_usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }
