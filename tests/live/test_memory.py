"""Memory that requests took comes back when they are over."""

from __future__ import annotations

import json
from typing import Any

import psutil
import pytest

from tests.conftest import StartGateway
from tests.live.expect import head
from tests.live.gateway import Gateway, wait_until
from tests.scripted import HangAfterHeaders, Reply, ScriptedProvider, Status

SIZE = 18_000_000
TIMES = 20


def worker(gateway: Gateway) -> psutil.Process:
    return max(psutil.Process(gateway.process.pid).children(), key=lambda child: child.memory_info().rss)


def ask(*contents: Any, **more: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": content} for content in contents], **more}).encode()


LARGE = {
    "one text": ask("x" * SIZE),
    "many messages": ask(*["x" * 1800] * (SIZE // 1800)),
}


@pytest.mark.parametrize("body", LARGE.values(), ids=LARGE)
@pytest.mark.parametrize("end", ["left", "refused by the provider", "not valid", "answered"])
def test_large_requests(start_gateway: StartGateway, provider: ScriptedProvider, body: bytes, end: str) -> None:
    """Twenty requests of 18 MB, however they end, leave the worker less than half as large again as it was."""
    gateway = start_gateway()
    process = worker(gateway)
    for _ in range(50):
        gateway.call(body=ask("hi"))
    before = process.memory_info().rss
    if end == "not valid":
        body = body[:-1] + b', "temperature": "hot"}'
    provider.default = {"left": HangAfterHeaders(), "answered": Reply("a")}.get(end, Status(400))
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
