"""Calls of a scripted provider, and a server that answers with any bytes at all."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Self

import gevent

from app.providers.openai_completions import OpenAICompletions
from app.providers.stream import Completed, Delta, ModelCall, ReasoningDelta, TextDelta
from app.providers.upstream import Upstream

PATIENCE = 10.0
MESSAGES = [{"role": "user", "content": "hi"}]


def call(seconds: float = 60.0, **sampling: Any) -> ModelCall:
    return ModelCall(model="m", messages=MESSAGES, deadline=time.monotonic() + seconds, sampling=sampling)


def upstream(base_url: str, *, timeout: float = 5.0, headers: dict[str, str] | None = None, **options: Any) -> Upstream:
    return Upstream("scripted", base_url, headers or {}, timeout, **options)


def deltas(base_url: str, **sampling: Any) -> list[Delta]:
    """All deltas of one answer, over a connection of its own."""
    connections = upstream(base_url)
    try:
        return collected(OpenAICompletions(connections).stream(call(**sampling)))
    finally:
        connections.close()


def collected(stream: Iterable[Delta]) -> list[Delta]:
    with gevent.Timeout(PATIENCE):
        return list(stream)


def text_of(found: Iterable[Delta]) -> str:
    return "".join(delta.text for delta in found if isinstance(delta, TextDelta))


def reasoning_of(found: Iterable[Delta]) -> str:
    return "".join(delta.text for delta in found if isinstance(delta, ReasoningDelta))


def completed(found: list[Delta]) -> Completed:
    """The last delta of a whole answer."""
    last = found[-1]
    assert isinstance(last, Completed)
    return last


def until(condition: Callable[[], object]) -> None:
    """Let other greenlets work until the condition holds."""
    with gevent.Timeout(PATIENCE):
        while not condition():
            gevent.sleep(0.002)


class RawServer:
    """Answers every request with the bytes that ``answer`` gives for it, and closes the connection unless told not to.

    requests: what came, head and body. It reads real sockets in native threads, so greenlets of the test can go on.
    """

    def __init__(self, answer: bytes | Callable[[bytes], bytes], *, close: bool = True) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._answer = answer if callable(answer) else lambda _request: answer
        self._close = close
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError), connection.makefile("rb") as reader:
            while request := self._read(reader):
                self.requests.append(request)
                connection.sendall(self._answer(request))
                if self._close:
                    return

    @staticmethod
    def _read(reader: Any) -> bytes:
        head = b""
        while line := reader.readline():
            head += line
            if line == b"\r\n":
                break
        lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        body: bytes = reader.read(int(lengths[0])) if lengths else b""
        return head + body


def response(body: bytes, *headers: str, status: str = "200 OK", length: bool = True) -> bytes:
    """A whole HTTP response of an event stream."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: text/event-stream", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


EVENTS = (
    b'data: {"choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n"
)
