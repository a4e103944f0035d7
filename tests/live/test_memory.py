"""Memory that requests took comes back when they are over."""

from __future__ import annotations

import json
from typing import Any

import psutil
import pytest

from tests.conftest import StartGateway
from tests.live.expect import head
from tests.live.gateway import Gateway, wait_until
from tests.scripted import HangAfterHeaders, Reply, ScriptedProvider

SIZE = 18_000_000
TIMES = 10


def worker(gateway: Gateway) -> psutil.Process:
    return max(psutil.Process(gateway.process.pid).children(), key=lambda child: child.memory_info().rss)


def ask(*contents: Any, **more: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": content} for content in contents], **more}).encode()


LARGE = {
    "one text": ask("x" * SIZE),
    "many messages": ask(*["x" * 1800] * (SIZE // 1800)),
}


@pytest.mark.parametrize(
    ("kind", "end"),
    [("one text", "left"), ("many messages", "left"), ("one text", "not valid"), ("many messages", "answered")],
)
def test_large_requests(start_gateway: StartGateway, provider: ScriptedProvider, kind: str, end: str) -> None:
    """Ten requests of 18 MB, however they end, leave the worker less than half as large again as it was."""
    body = LARGE[kind]
    gateway = start_gateway()
    process = worker(gateway)
    for _ in range(50):
        gateway.call(body=ask("hi"))
    before = process.memory_info().rss
    if end == "not valid":
        body = body[:-1] + b', "temperature": "hot"}'
    provider.default = Reply("a") if end == "answered" else HangAfterHeaders()
    for _ in range(TIMES):
        asked = len(provider.requests)
        lines = ("Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close")
        with gateway.connect() as connection:
            connection.sendall(head(gateway, "POST /v1/chat/completions HTTP/1.1", *lines) + body)
            if end == "left":
                provider.wait_for_request(asked + 1, timeout=20)
            else:
                while connection.recv(65_536):
                    pass
    provider.reset()
    wait_until(lambda: process.memory_info().rss < 1.5 * before, "the memory is given back")
