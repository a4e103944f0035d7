"""Headers of requests as bytes on a socket: what comes twice, and what is no ASCII."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.live.expect import exchange, expect_error, head, post
from tests.live.gateway import Gateway, chat_body

INVALID = "invalid_request_error"


@pytest.mark.parametrize(
    "line",
    [
        "Authorization: Bearer other",
        "Content-Type: text/plain",
        "Content-Length: 3",
        "Host: example.org",
        "Idempotency-Key: k",
        "Origin: http://localhost",
        "X-Request-Id: r",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "x-openclaw-agent-id: main",
        "x-openclaw-agent: main",
        "x-openclaw-session-key: s",
        "x-openclaw-model: scripted/m",
        "x-openclaw-message-channel: c",
        "x-openclaw-scopes: operator.read",
        "X-OpenClaw-Of-Tomorrow: 1",
    ],
)
def test_a_header_that_stands_once_is_refused_twice(gateway: Gateway, line: str) -> None:
    """Where one of two was put there by somebody else, nobody guesses which."""
    message = expect_error_of(exchange(gateway, post(gateway, chat_body(), line, line)))
    assert "twice" in message or "malformed" in message


def expect_error_of(answer) -> str:  # type: ignore[no-untyped-def]
    assert answer.status == 400, answer.body
    return str(answer.error["message"])


@pytest.mark.parametrize("line", ["Accept: a/b", "X-Forwarded-For: 10.0.0.1", "X-Unknown: 1", "Via: 1.1 a"])
def test_what_may_be_a_list_may_come_twice(gateway: Gateway, line: str) -> None:
    """Lists, what each proxy adds, and what nobody reads."""
    assert exchange(gateway, post(gateway, chat_body(), line, line)).status == 200


@pytest.mark.parametrize("method", ["GET /healthz", "GET /v1/models"])
def test_it_is_so_for_every_route(gateway: Gateway, method: str) -> None:
    """Health is no exception."""
    data = head(gateway, f"{method} HTTP/1.1", "X-Request-Id: a", "X-Request-Id: b")
    expect_error(exchange(gateway, data), 400, INVALID)


@pytest.mark.parametrize("key", ["voilà", "à", "àà ", "日本", "naïve à"])
def test_a_session_key_is_utf8(gateway: Gateway, key: str) -> None:
    """It is read as it was meant whatever its last byte is in Latin-1, and echoed percent-encoded."""
    data = post(gateway, chat_body(), "x-openclaw-session-key: @").replace(b"@", key.encode(), 1)
    answer = exchange(gateway, data)
    assert answer.status == 200, answer.body
    assert answer.headers["x-openclaw-session-key"] == f"agent:main:{quote(key.strip())}"


@pytest.mark.parametrize("name", ["x-openclaw-agent-id", "x-openclaw-agent", "x-openclaw-model"])
def test_its_siblings_are_utf8_too(gateway: Gateway, name: str) -> None:
    """An agent or a model that nobody has is named in the refusal as it was sent."""
    answer = exchange(gateway, post(gateway, chat_body(), f"{name}: @").replace(b"@", "voilà".encode(), 1))
    assert answer.status in (400, 404)
    assert "voilà" in answer.error["message"]
