"""What every error must look like, and requests that no HTTP library would send."""

from __future__ import annotations

import http.client
import json
from typing import Any

from tests.live.gateway import TOKEN, Answer, Gateway


def expect_error(answer: Answer, status: int, kind: str, *, code: str | None = None, param: str | None = None) -> str:
    """Check status, envelope and the headers that every error has. Gives the message."""
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["x-request-id"]
    return expect_envelope(answer.json, kind, code=code, param=param)


def expect_envelope(body: Any, kind: str, *, code: str | None = None, param: str | None = None) -> str:
    """Check that a JSON document is the error envelope with its four members and no others. Gives the message."""
    assert set(body) == {"error"}
    error = dict(body["error"])
    message = error.pop("message")
    assert error == {"type": kind, "param": param, "code": code}, message
    assert isinstance(message, str)
    assert message
    return message


def head(gateway: Gateway, request_line: str, *lines: str, token: str | None = TOKEN) -> bytes:
    """A request's bytes up to its body. lines: headers beside Host and Authorization."""
    given = [f"Host: 127.0.0.1:{gateway.port}", *([f"Authorization: Bearer {token}"] if token else []), *lines]
    return "\r\n".join([request_line, *given, "", ""]).encode("latin-1")


def post(gateway: Gateway, body: Any, *lines: str, token: str | None = TOKEN) -> bytes:
    """A chat request's bytes, headers repeated if ``lines`` repeat them. body: sent as JSON."""
    data = json.dumps(body).encode()
    lines = ("Content-Type: application/json", f"Content-Length: {len(data)}", *lines)
    return head(gateway, "POST /v1/chat/completions HTTP/1.1", *lines, token=token) + data


def exchange(gateway: Gateway, data: bytes) -> Answer:
    """Send these bytes on a connection of their own and read one response, then the connection's end if it is told."""
    with gateway.connect() as connection:
        connection.sendall(data)
        return read_answer(connection)


def read_answer(connection: Any, method: str = "POST") -> Answer:
    """One response from an open connection."""
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    return Answer(response.status, response.headers, response.read())
