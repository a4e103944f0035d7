"""One case: the bytes of a provider, the request of a caller, and what must come out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Sent = Sequence[Mapping[str, Any]]

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
TIME = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {"tz": {"type": "string"}}}},
}
TOOLS = [WEATHER, TIME]


@dataclass(frozen=True, kw_only=True)
class Case:
    """answers: what the provider answers, from the status line on, one for each time that it must be asked.

    agent:   see ``scene``. request: fields of the caller's request beside its one message, "hi".
    then:    fields of further requests, in the same session as the first; ``session`` makes one of a single request.
    What must come out of the last request:
    status, text, refusal, reasoning, calls (name, arguments), finish, usage (prompt, completion): of an answer.
    status, error (type), code, says (parts of the message): of an error. asked: how often the provider was asked.
    sent:    looks at the bodies that the provider was sent.
    checks:  looks at the whole answer of a request that asked for JSON.
    """

    answers: Sequence[bytes]
    agent: str = "main"
    request: Mapping[str, Any] = field(default_factory=dict)
    then: Sequence[Mapping[str, Any]] = ()
    session: bool = False
    status: int = 200
    text: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    calls: Sequence[tuple[str, str]] = ()
    finish: str | None = None
    usage: tuple[int, int] | None = None
    error: str | None = None
    code: str | None = None
    says: Sequence[str] = ()
    asked: int | None = None
    sent: Callable[[Sent], None] | None = None
    checks: Callable[[Mapping[str, Any]], None] | None = None


def http(body: bytes, *headers: str, status: str = "200 OK", kind: str = "application/json", before: str = "") -> bytes:
    """A whole HTTP response. before: what comes ahead of its status line."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", *headers, f"Content-Length: {len(body)}"]
    if not any(header.lower().startswith("connection:") for header in headers):
        lines.append("Connection: close")  # as is done: what comes next is no race
    return before.encode() + "\r\n".join([*lines, "", ""]).encode() + body


def as_json(document: Any, *headers: str, status: str = "200 OK") -> bytes:
    return http(json.dumps(document).encode(), *headers, status=status)


def stream(body: bytes | str, *headers: str, status: str = "200 OK", before: str = "") -> bytes:
    """An event stream that ends where the connection does."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: text/event-stream", "Connection: close", *headers, "", ""]
    return before.encode() + "\r\n".join(lines).encode() + (body.encode() if isinstance(body, str) else body)


def data(*events: Any, done: bool = True) -> str:
    """Events of ``data`` lines: texts as they are, all else as JSON."""
    lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
    return "".join(f"data: {line}\n\n" for line in [*lines, *(["[DONE]"] if done else [])])


def named(*events: Mapping[str, Any]) -> str:
    """Events that are called as their type says, as Anthropic and the Responses API write them."""
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)


USAGE = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}


def chunk(delta: Any = None, finish: str | None = None, **choice: Any) -> dict[str, Any]:
    """A chunk of a chat completion with one choice."""
    head = {"id": "x1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**head, "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish, **choice}]}


def usage_chunk(**usage: Any) -> dict[str, Any]:
    return {**chunk(), "choices": [], "usage": usage or USAGE}


def chat(*deltas: Any, finish: str | None = "stop", usage: bool = True) -> bytes:
    """A well-formed stream around these deltas."""
    last = [chunk({}, finish)] if finish else []
    return stream(data(*(chunk(delta) for delta in deltas), *last, *([usage_chunk()] if usage else [])))


def completion(message: Mapping[str, Any], finish: str = "stop", **more: Any) -> dict[str, Any]:
    """A whole chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "x", "object": "chat.completion", "choices": [choice], "usage": USAGE, **more}


def call_delta(*calls: Mapping[str, Any]) -> dict[str, Any]:
    return {"tool_calls": list(calls)}


def fragment(index: int | None = 0, id: str | None = None, name: str | None = None, arguments: Any = None) -> Any:
    """A fragment of a tool call with the fields that are given."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    fields = {"index": index, "id": id, "type": "function" if id else None, "function": function or None}
    return {key: value for key, value in fields.items() if value is not None}


PARIS = '{"city":"Paris"}'
