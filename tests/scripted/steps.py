import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from tests.scripted.exchange import Exchange
from tests.scripted.renderings import RENDERINGS, Chat, Event, Rendering, ToolCall, Usage, UsagePlace, encoded

LF = "\n\n"
CRLF = "\r\n\r\n"


class Step(Protocol):
    def play(self, exchange: Exchange) -> None: ...


@dataclass(frozen=True, init=False)
class Reply:
    tokens: tuple[str, ...]
    finish: str | None
    usage: Usage | None
    usage_in: UsagePlace
    reasoning: tuple[str, ...]
    tool_calls: tuple[ToolCall, ...]
    wait: float
    delay: float
    hold: threading.Event | None
    hold_at: int | Literal["headers"]
    extra: tuple[str, ...]
    crlf: bool
    cut: bool

    def __init__(
        self,
        *tokens: str,
        finish: str | None = "stop",
        usage: Usage | None = None,
        usage_in: UsagePlace = "own",
        reasoning: tuple[str, ...] = (),
        tool_calls: tuple[ToolCall, ...] = (),
        wait: float = 0.0,
        delay: float = 0.0,
        hold: threading.Event | None = None,
        hold_at: int | Literal["headers"] = 0,
        extra: tuple[str, ...] = (),
        crlf: bool = False,
        cut: bool = False,
    ) -> None:
        vars(self).update({name: value for name, value in locals().items() if name != "self"})

    def play(self, exchange: Exchange) -> None:
        end = CRLF if self.crlf else LF
        rendering = rendering_for(exchange, self.usage, self.usage_in)
        exchange.pause(self.wait)
        self._hold(exchange, "headers")
        exchange.open_stream()
        for line in self.extra:
            exchange.send(f"{line}{end}".encode())

        def send(events: Iterable[Event]) -> None:
            for event in events:
                exchange.send(encoded(event, end))

        send(rendering.opening())
        for text in self.reasoning:
            send(rendering.reasoning(text))
        for number, token in enumerate(self.tokens):
            self._hold(exchange, number)
            if number and self.delay:
                exchange.pause(self.delay)
            send(rendering.text(token))
        self._hold(exchange, len(self.tokens))
        for call in self.tool_calls:
            send(rendering.call(call))
        if self.cut:
            exchange.cut(reset=False)
        if self.finish is not None:
            send(rendering.finish(self.finish))
        send(rendering.closing())
        exchange.close_stream(rendering.last.replace(LF.encode(), end.encode()))

    def _hold(self, exchange: Exchange, at: int | Literal["headers"]) -> None:
        if self.hold and self.hold_at == at:
            exchange.wait_for(self.hold)


class NoFinish(Reply):
    def __init__(self, *tokens: str) -> None:
        super().__init__(*tokens, finish=None)


@dataclass(frozen=True)
class Empty:
    def play(self, exchange: Exchange) -> None:
        exchange.open_stream()
        exchange.close_stream(rendering_for(exchange).last)


@dataclass(frozen=True)
class ErrorInStream:
    message: str
    tokens: tuple[str, ...] = ()
    kind: str = "server_error"

    def play(self, exchange: Exchange) -> None:
        rendering = open_with_tokens(exchange, self.tokens)
        for event in rendering.error(self.message, self.kind):
            exchange.send(encoded(event))
        exchange.close_stream(rendering.last)


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
class RawHttp:
    data: bytes

    def play(self, exchange: Exchange) -> None:
        exchange.raw(self.data)


@dataclass(frozen=True)
class Flood:
    data: bytes
    head: bytes | None = None
    pause: float = 0.0

    def play(self, exchange: Exchange) -> None:
        if self.head is None:
            exchange.open_stream()
        else:
            exchange.begin(self.head)
        send = exchange.send if self.head is None else exchange.begin
        while True:
            send(self.data)
            exchange.pause(self.pause)


@dataclass(frozen=True)
class Status:
    code: int
    message: str = "scripted"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    kind: str = "scripted_error"

    def play(self, exchange: Exchange) -> None:
        envelope = rendering_for(exchange).envelope(self.message, self.kind)
        exchange.answer(self.code, json.dumps(envelope).encode() if self.body is None else self.body, self.headers)


@dataclass(frozen=True)
class JsonReply:
    content: str
    finish: str = "stop"
    usage: Usage | None = None

    def play(self, exchange: Exchange) -> None:
        asked = {**exchange.received.body, "stream_options": {"include_usage": True}}
        completion = Chat(asked, self.usage, "every").completion(self.content, self.finish)
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


def rendering_for(exchange: Exchange, usage: Usage | None = None, usage_in: UsagePlace = "own") -> Rendering:
    """The format of the path that was asked; an unknown path is answered as OpenAI answers."""
    return RENDERINGS.get(exchange.received.path, Chat)(exchange.received.body, usage, usage_in)


def open_with_tokens(exchange: Exchange, tokens: tuple[str, ...]) -> Rendering:
    exchange.open_stream()
    rendering = rendering_for(exchange)
    if not isinstance(rendering, Chat):
        for event in rendering.opening():
            exchange.send(encoded(event))
    for token in tokens:
        for event in rendering.text(token):
            exchange.send(encoded(event))
    return rendering
