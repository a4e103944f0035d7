import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from tests.scripted.exchange import Exchange


class Step(Protocol):
    def play(self, exchange: Exchange) -> None: ...


@dataclass(frozen=True)
class Usage:
    prompt: int
    completion: int
    cached: int = 0

    def payload(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }


@dataclass(frozen=True, init=False)
class ToolCall:
    id: str
    name: str
    fragments: tuple[str, ...]

    def __init__(self, id: str, name: str, *fragments: str) -> None:
        vars(self).update(id=id, name=name, fragments=fragments)

    def deltas(self, index: int) -> list[dict[str, Any]]:
        opening = {"index": index, "id": self.id, "type": "function", "function": {"name": self.name, "arguments": ""}}
        rest = [{"index": index, "function": {"arguments": fragment}} for fragment in self.fragments]
        return [{"tool_calls": [call]} for call in (opening, *rest)]


@dataclass(frozen=True, init=False)
class Reply:
    tokens: tuple[str, ...]
    finish: str | None
    usage: Usage | None
    usage_in: Literal["own", "finish", "every"]
    reasoning: tuple[str, ...]
    tool_calls: tuple[ToolCall, ...]
    wait: float
    delay: float
    hold: threading.Event | None
    hold_at: int | Literal["headers"]
    extra: tuple[str, ...]
    crlf: bool

    def __init__(
        self,
        *tokens: str,
        finish: str | None = "stop",
        usage: Usage | None = None,
        usage_in: Literal["own", "finish", "every"] = "own",
        reasoning: tuple[str, ...] = (),
        tool_calls: tuple[ToolCall, ...] = (),
        wait: float = 0.0,
        delay: float = 0.0,
        hold: threading.Event | None = None,
        hold_at: int | Literal["headers"] = 0,
        extra: tuple[str, ...] = (),
        crlf: bool = False,
    ) -> None:
        vars(self).update({name: value for name, value in locals().items() if name != "self"})

    def play(self, exchange: Exchange) -> None:
        end = "\r\n\r\n" if self.crlf else "\n\n"
        exchange.pause(self.wait)
        self._hold(exchange, "headers")
        exchange.open_stream()
        for line in self.extra:
            exchange.send(f"{line}{end}".encode())
        self._delta(exchange, {"role": "assistant", "content": ""})
        for text in self.reasoning:
            self._delta(exchange, {"reasoning_content": text})
        for number, token in enumerate(self.tokens):
            self._hold(exchange, number)
            if number and self.delay:
                exchange.pause(self.delay)
            self._delta(exchange, {"content": token})
        self._hold(exchange, len(self.tokens))
        for index, call in enumerate(self.tool_calls):
            for delta in call.deltas(index):
                self._delta(exchange, delta)
        if self.finish is not None:
            self._delta(exchange, {}, self.finish)
        if self._usage(exchange, "own"):
            exchange.event(chunk(exchange, choices=[], **self._usage(exchange, "own")), end)
        exchange.close_stream(f"data: [DONE]{end}".encode())

    def _delta(self, exchange: Exchange, delta: dict[str, Any], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        usage = self._usage(exchange, "every") or (self._usage(exchange, "finish") if finish else {})
        exchange.event(chunk(exchange, choices=[choice], **usage), "\r\n\r\n" if self.crlf else "\n\n")

    def _hold(self, exchange: Exchange, at: int | Literal["headers"]) -> None:
        if self.hold and self.hold_at == at:
            exchange.wait_for(self.hold)

    def _usage(self, exchange: Exchange, place: str) -> dict[str, Any]:
        asked = (exchange.received.body.get("stream_options") or {}).get("include_usage")
        return {"usage": self.usage.payload()} if self.usage and asked and self.usage_in == place else {}


class NoFinish(Reply):
    def __init__(self, *tokens: str) -> None:
        super().__init__(*tokens, finish=None)


@dataclass(frozen=True)
class Empty:
    def play(self, exchange: Exchange) -> None:
        exchange.open_stream()
        exchange.close_stream()


@dataclass(frozen=True)
class ErrorInStream:
    message: str
    tokens: tuple[str, ...] = ()

    def play(self, exchange: Exchange) -> None:
        open_with_tokens(exchange, self.tokens)
        exchange.event({"error": {"message": self.message, "type": "server_error", "param": None, "code": None}})
        exchange.close_stream()


@dataclass(frozen=True, init=False)
class RawStream:
    pieces: tuple[bytes, ...]

    def __init__(self, *pieces: bytes) -> None:
        vars(self).update(pieces=pieces)

    def play(self, exchange: Exchange) -> None:
        exchange.open_stream()
        for piece in self.pieces:
            exchange.send(piece)
        exchange.close_stream(b"")


@dataclass(frozen=True)
class Status:
    code: int
    message: str = "scripted"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def play(self, exchange: Exchange) -> None:
        error = {"message": self.message, "type": "scripted_error", "param": None, "code": None}
        body = json.dumps({"error": error}).encode() if self.body is None else self.body
        exchange.answer(self.code, body, self.headers)


@dataclass(frozen=True)
class JsonReply:
    content: str
    finish: str = "stop"
    usage: Usage | None = None

    def play(self, exchange: Exchange) -> None:
        message = {"role": "assistant", "content": self.content}
        choice = {"index": 0, "message": message, "finish_reason": self.finish}
        usage = {"usage": self.usage.payload()} if self.usage else {}
        completion = chunk(exchange, choices=[choice], **usage) | {"object": "chat.completion"}
        exchange.answer(200, json.dumps(completion).encode(), {})


@dataclass(frozen=True)
class Cut:
    after_tokens: int = 1
    reset: bool = False

    def play(self, exchange: Exchange) -> None:
        open_with_tokens(exchange, tuple(f"token{number} " for number in range(self.after_tokens)))
        exchange.cut(self.reset)


@dataclass(frozen=True)
class CutBeforeHeaders:
    reset: bool = False

    def play(self, exchange: Exchange) -> None:
        exchange.cut(self.reset)


@dataclass(frozen=True)
class Hang:
    def play(self, exchange: Exchange) -> None:
        exchange.pause(None)


@dataclass(frozen=True)
class HangAfterHeaders:
    def play(self, exchange: Exchange) -> None:
        exchange.open_stream()
        exchange.pause(None)


def chunk(exchange: Exchange, **fields: Any) -> dict[str, Any]:
    model = exchange.received.body.get("model")
    return {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1, "model": model, **fields}


def open_with_tokens(exchange: Exchange, tokens: tuple[str, ...]) -> None:
    exchange.open_stream()
    for token in tokens:
        choice = {"index": 0, "delta": {"content": token}, "finish_reason": None}
        exchange.event(chunk(exchange, choices=[choice]))
