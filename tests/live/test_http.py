"""What gunicorn refuses itself, and the connection after an error."""

from __future__ import annotations

import threading

import pytest

from tests.live.expect import expect_error, head, post, read_answer
from tests.live.gateway import TOKEN, Gateway, chat_body, wait_until
from tests.scripted import Reply, ScriptedProvider

CHAT = "/v1/chat/completions"
INVALID = "invalid_request_error"

# What is no HTTP, or more of it than is read.

REFUSED: dict[str, tuple[bytes, int]] = {
    "garbage": (b"\x00\x01\x02 nonsense\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 \r\n\r\n", 400),
    "no version": (b"GET /\r\n\r\n", 400),
    "version 3": (b"GET / HTTP/3.0\r\n\r\n", 400),
    "a bad method": (b"G(T / HTTP/1.1\r\n\r\n", 400),
    "a bad header": (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "a bad length": (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
    "length and chunks": (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "a URL of 9000 bytes": (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
    "a header of 20 KB": (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
    "200 headers": (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
    "an unknown coding": (b"POST / HTTP/1.1\r\nTransfer-Encoding: zip\r\n\r\n", 501),
    "an expectation": (b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: coffee\r\nContent-Length: 1\r\n\r\n", 417),
}


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_what_the_server_refuses_has_the_envelope_too(gateway: Gateway, data: bytes, status: int) -> None:
    """A request that never reaches the application is answered in JSON and its connection closed."""
    with gateway.connect() as connection:
        connection.sendall(data)
        expect_error(read_answer(connection), status, INVALID)
        assert connection.recv(1) == b""


# The connection afterwards.

KEPT = {
    "401": (401, "POST", CHAT, {"Authorization": "Bearer wrong"}),
    "404": (404, "POST", "/nope", {}),
    "405": (405, "PUT", CHAT, {}),
    "415": (415, "POST", CHAT, {"Content-Type": "text/plain"}),
    "400": (400, "POST", CHAT, {}),
}


@pytest.mark.parametrize(("status", "method", "path", "changes"), KEPT.values(), ids=KEPT.keys())
def test_a_connection_outlives_an_error(
    gateway: Gateway, status: int, method: str, path: str, changes: dict[str, str]
) -> None:
    """After an error whose small body nobody read, the same connection serves the next request."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **changes}
    body = b"GET /smuggled HTTP/1.1\r\n\r\n" * 40
    lines = [f"{name}: {value}" for name, value in headers.items()]
    first = head(gateway, f"{method} {path} HTTP/1.1", *lines, f"Content-Length: {len(body)}", token=None) + body
    with gateway.connect() as connection:
        connection.sendall(first)
        assert read_answer(connection).status == status
        connection.sendall(post(gateway, chat_body()))
        assert read_answer(connection).text == "Hello world"


@pytest.mark.parametrize("path", ["/ready", "/readyz"])
def test_readiness_tells_strangers_no_details(start_gateway, provider: ScriptedProvider, path: str) -> None:
    """Whoever asks learns whether the gateway is ready; which part is not, only who may read."""
    gateway = start_gateway()
    provider.enqueue(Reply("a", "b", hold=threading.Event(), hold_at=1))
    with gateway.open(body=chat_body(stream=True)):
        provider.wait_for_request(1)
        gateway.process.terminate()
        wait_until(lambda: "draining" in gateway.log, "the drain begins")
        for token in (None, "wrong"):
            answer = gateway.call(path, method="GET", token=token)
            assert (answer.status, answer.json) == (503, {"ready": False, "failing": []})
        answer = gateway.call(path, method="GET", token=TOKEN)
        details = {"modelsSetAside": {}, "mcpServers": {}}
        assert (answer.status, answer.json) == (503, {"ready": False, "failing": ["draining"], **details})
