"""The body of a chat request: its type, its size, its JSON, and every field that can be wrong."""

from __future__ import annotations

import gzip
import json
import re
import socket
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.expect import exchange, expect_error, head, post, read_answer
from tests.live.gateway import TOKEN, Gateway, chat_body, config_for
from tests.scripted import ScriptedProvider

CHAT = "/v1/chat/completions"
INVALID = "invalid_request_error"
MAX_BODY = 2000
USER = {"role": "user", "content": "hi"}


@pytest.fixture(scope="module")
def _small(tmp_path_factory: pytest.TempPathFactory, _shared_provider: ScriptedProvider) -> Iterator[Gateway]:
    config = config_for(
        _shared_provider.base_url,
        gateway={"http": {"endpoints": {"chatCompletions": {"maxBodyBytes": MAX_BODY}}}},
    )
    gateway = Gateway(tmp_path_factory.mktemp("small") / "state", config)
    try:
        yield gateway.wait_until_up()
    finally:
        gateway.kill()


@pytest.fixture
def small(_small: Gateway, provider: ScriptedProvider) -> Gateway:
    """A gateway that takes bodies of 2000 bytes."""
    return _small


# The body as a whole.

JSON_TYPES = ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.api+json"]
OTHER_TYPES = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/jsonx",
]


@pytest.mark.parametrize("content_type", [*OTHER_TYPES, "", "text/json", "json"])
def test_a_body_that_is_not_json_by_its_type_is_refused(gateway: Gateway, content_type: str) -> None:
    """What a cross-site form can send is never read as a request."""
    answer = gateway.call(body=chat_body(), headers={"Content-Type": content_type})
    assert "application/json" in expect_error(answer, 415, INVALID)


@pytest.mark.parametrize("content_type", JSON_TYPES)
def test_every_json_type_is_taken(gateway: Gateway, content_type: str) -> None:
    """Parameters, case and structured suffixes don't matter."""
    assert gateway.call(body=chat_body(), headers={"Content-Type": content_type}).status == 200


MALFORMED = [
    b"",
    b"{",
    b"nonsense",
    b"\xff\xfe",
    b'{"model":NaN}',
    b"[" * 1500,
    b"{}{}",
    b"{'a':1}",
]


@pytest.mark.parametrize("body", [*MALFORMED, b"[]", b"null", b"1", b'"text"', b"true"])
def test_a_body_that_is_no_json_object_is_refused(gateway: Gateway, body: bytes) -> None:
    """Malformed JSON, and JSON that is no object, are the caller's fault and say so."""
    expect_error(gateway.call(CHAT, body), 400, INVALID)


def test_a_body_over_the_limit_is_answered_while_it_comes(small: Gateway) -> None:
    """A client that sends 8 MB without looking up reads its 413: the connection is not reset under it."""
    answer = small.call(CHAT, b" " * (8 << 20))
    assert str(MAX_BODY) in expect_error(answer, 413, INVALID)


@pytest.mark.parametrize(
    ("status", "path", "method", "token"),
    [(401, CHAT, "POST", None), (404, "/nope", "POST", TOKEN), (405, CHAT, "PUT", TOKEN)],
)
def test_an_early_refusal_is_answered_while_the_body_comes(
    gateway: Gateway, status: int, path: str, method: str, token: str | None
) -> None:
    """Whatever is refused before its body is read can be read by a client that sends all of it first."""
    assert gateway.call(path, b" " * (8 << 20), method=method, token=token).status == status


def test_a_body_over_the_limit_is_not_waited_for(small: Gateway) -> None:
    """The answer is there when nothing of the body is."""
    lines = ("Content-Type: application/json", f"Content-Length: {1 << 30}")
    expect_error(exchange(small, head(small, f"POST {CHAT} HTTP/1.1", *lines)), 413, INVALID)


@pytest.mark.parametrize("size", [MAX_BODY + 1, 8 << 20])
def test_a_chunked_body_is_limited_too(small: Gateway, size: int) -> None:
    """A body without a length is refused once it has passed the limit."""
    lines = ("Content-Type: application/json", "Transfer-Encoding: chunked")
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (size, b" " * size)
    expect_error(exchange(small, head(small, f"POST {CHAT} HTTP/1.1", *lines) + body), 413, INVALID)


def test_a_chunked_body_within_the_limit_is_taken(small: Gateway) -> None:
    """Chunks are as good as a length."""
    lines = ("Content-Type: application/json", "Transfer-Encoding: chunked")
    pieces = re.findall(b".{1,20}", json.dumps(chat_body()).encode())
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    assert exchange(small, head(small, f"POST {CHAT} HTTP/1.1", *lines) + body).text == "Hello world"


def test_a_malformed_chunk_is_the_callers_fault(gateway: Gateway) -> None:
    """A chunk whose size is no number is a 400, not a fault of the gateway."""
    lines = ("Content-Type: application/json", "Transfer-Encoding: chunked")
    data = head(gateway, f"POST {CHAT} HTTP/1.1", *lines) + b"xyz\r\n{}\r\n0\r\n\r\n"
    expect_error(exchange(gateway, data), 400, INVALID)


CUT_SHORT = {
    "length": ("Content-Length: 100", b'{"model":'),
    "chunks": ("Transfer-Encoding: chunked", b'9\r\n{"model":'),
    "in a chunk": ("Transfer-Encoding: chunked", b'99\r\n{"model":'),
}


@pytest.mark.parametrize(("framing", "body"), CUT_SHORT.values(), ids=CUT_SHORT.keys())
def test_a_body_that_ends_early_is_the_callers_fault(gateway: Gateway, framing: str, body: bytes) -> None:
    """A client that stops sending in the middle, but still reads, is told."""
    with gateway.connect() as connection:
        connection.sendall(head(gateway, f"POST {CHAT} HTTP/1.1", "Content-Type: application/json", framing) + body)
        connection.shutdown(socket.SHUT_WR)
        expect_error(read_answer(connection), 400, INVALID)


@pytest.mark.parametrize("size", [MAX_BODY - 1, MAX_BODY])
def test_a_body_up_to_the_limit_is_taken(small: Gateway, size: int) -> None:
    """The limit itself is allowed."""
    assert small.call(CHAT, json.dumps(chat_body()).encode().ljust(size)).status == 200


def test_a_connection_outlives_a_refused_body(small: Gateway) -> None:
    """A body a little over the limit is read past or the connection is said to close, never left in doubt."""
    with small.connect() as connection:
        connection.sendall(post(small, chat_body("x" * (MAX_BODY + 1))))
        answer = read_answer(connection)
        expect_error(answer, 413, INVALID)
        if answer.headers["Connection"] == "close":
            assert connection.recv(1) == b""
        else:
            connection.sendall(post(small, chat_body()))
            assert read_answer(connection).text == "Hello world"


PACKINGS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}


@pytest.mark.parametrize("coding", PACKINGS)
def test_a_packed_body_is_taken(small: Gateway, coding: str) -> None:
    """A client that saves bandwidth is answered like any other."""
    body = PACKINGS[coding](json.dumps(chat_body("x" * 1000)).encode())
    assert small.call(CHAT, body, headers={"Content-Encoding": coding}).text == "Hello world"


def test_a_packed_body_is_limited_by_what_it_holds(small: Gateway) -> None:
    """A few bytes that hold many megabytes are too many."""
    body = gzip.compress(json.dumps(chat_body("x" * 20_000_000)).encode())
    assert len(body) < 50_000
    answer = small.call(CHAT, gzip.compress(body), headers={"Content-Encoding": "gzip, gzip"})
    assert str(MAX_BODY) in expect_error(answer, 413, INVALID)


def test_a_broken_packed_body_is_the_callers_fault(gateway: Gateway) -> None:
    """What can't be unpacked is a 400, not a fault of the gateway."""
    body = gzip.compress(json.dumps(chat_body()).encode())
    for broken in (body[:-3], b"{}", body + b"x"):
        expect_error(gateway.call(CHAT, broken, headers={"Content-Encoding": "gzip"}), 400, INVALID)


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, br"])
def test_a_coding_that_is_not_read_is_refused(gateway: Gateway, coding: str) -> None:
    """The answer says what is read, where programs look for it, too."""
    answer = gateway.call(body=chat_body(), headers={"Content-Encoding": coding})
    assert "gzip" in expect_error(answer, 415, INVALID)
    assert answer.headers["Accept-Encoding"] == "gzip, deflate, identity"


def test_half_an_emoji_costs_that_character(gateway: Gateway, provider: ScriptedProvider) -> None:
    """A client that cut a text in the middle of a pair is answered; the model reads a mark in its place."""
    assert gateway.chat("cut here: \ud83d", user_note="\ude00").text == "Hello world"
    assert provider.requests[0].body["messages"][-1]["content"] == "cut here: \ufffd"


# The body's fields.

FIELDS: list[tuple[str, Any]] = [
    ("model", 5),
    ("model", ["openclaw"]),
    ("user", 5),
    ("user", {"name": "x"}),
    ("stream", "true"),
    ("stream", 1),
    ("stream_options", "usage"),
    ("stream_options", [1]),
    ("stream_options.include_usage", {"include_usage": "yes"}),
    ("temperature", -0.01),
    ("temperature", 2.01),
    ("temperature", "1"),
    ("temperature", True),
    ("top_p", -0.01),
    ("top_p", 1.01),
    ("presence_penalty", -2.01),
    ("presence_penalty", 2.01),
    ("frequency_penalty", -2.01),
    ("frequency_penalty", 2.01),
    ("frequency_penalty", []),
    ("seed", 1.5),
    ("seed", "1"),
    ("stop", ["a", "b", "c", "d", "e"]),
    ("stop", [""]),
    ("stop", [1]),
    ("stop", 5),
    ("max_tokens", 0),
    ("max_tokens", -1),
    ("max_tokens", 1.5),
    ("max_tokens", "5"),
    ("max_completion_tokens", 0),
    ("max_completion_tokens", False),
    ("n", 0),
    ("n", 2),
    ("n", "1"),
    ("n", True),
    ("logprobs", True),
    ("top_logprobs", 5),
    ("verbosity", "loud"),
    ("service_tier", 5),
    ("safety_identifier", "x" * 129),
    ("metadata.a", {"a": 5}),
    ("top_k", "x" * 70_000),
    ("audio", {"voice": "alloy", "format": "mp3"}),
    ("modalities", ["text", "audio"]),
    ("response_format", "json_object"),
    ("response_format.type", {"type": "xml"}),
    ("response_format.type", {}),
    ("logit_bias", [1]),
    ("reasoning_effort", 3),
    ("parallel_tool_calls", "yes"),
    ("tools", "f"),
    ("tool_choice", "required"),
    ("functions", [{"name": "f"}]),
    ("function_call", {"name": "f"}),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("param", "value"), FIELDS, ids=[f"{param} {value}" for param, value in FIELDS])
def test_a_bad_field_is_named(
    gateway: Gateway, provider: ScriptedProvider, param: str, value: Any, stream: bool
) -> None:
    """A value of a wrong type or out of range is a 400 whose param is its path, and reaches no model."""
    name = param.partition(".")[0]
    answer = gateway.call(body=chat_body(stream=stream) | {name: value})
    assert expect_error(answer, 400, INVALID, param=param).startswith(param)
    assert provider.requests == []


@pytest.mark.parametrize("name", ["functions", "function_call"])
def test_legacy_functions_point_to_tools(gateway: Gateway, name: str) -> None:
    """Who still sends functions is told what replaced them."""
    answer = gateway.chat(**{name: [{"name": "f"}]})
    assert "tools" in expect_error(answer, 400, INVALID, param=name)


EDGES = [
    {"temperature": 0, "top_p": 0, "presence_penalty": -2, "frequency_penalty": -2, "seed": -1},
    {"temperature": 2, "top_p": 1, "presence_penalty": 2, "frequency_penalty": 2.0, "max_tokens": 1},
    {"stop": ["a", "b", "c", "d"], "n": 1, "logprobs": False, "max_completion_tokens": 1},
    {"stop": [], "tools": [], "functions": [], "modalities": ["text"], "user": ""},
    {"stop": "", "tool_choice": "auto", "response_format": {"type": "text"}, "stream_options": {}},
]


@pytest.mark.parametrize("fields", EDGES)
def test_the_edges_are_allowed(gateway: Gateway, fields: dict[str, Any]) -> None:
    """Every bound belongs to its range, and what is empty is the same as absent."""
    assert gateway.chat(**fields).status == 200


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
MESSAGES: list[tuple[str, Any]] = [
    ("messages", "hi"),
    ("messages", []),
    ("messages", {}),
    ("messages", None),
    ("messages", [{"role": "system", "content": "only this"}]),
    ("messages", [{"role": "assistant", "content": "only this"}]),
    ("messages[0]", ["hi"]),
    ("messages[1]", [USER, None]),
    ("messages[2].role", [USER, USER, {"role": "robot", "content": "hi"}]),
    ("messages[0].role", [{"content": "hi"}]),
    ("messages[0].role", [{"role": ["user"], "content": "hi"}]),
    ("messages[0].role", [{"role": "User", "content": "hi"}]),
    ("messages[0].content", [{"role": "user"}]),
    ("messages[0].content", [{"role": "user", "content": None}]),
    ("messages[0].content", [{"role": "user", "content": 5}]),
    ("messages[0].content", [{"role": "user", "content": []}]),
    ("messages[1].content", [USER, {"role": "assistant"}]),
    ("messages[0].content", [{"role": "system"}, USER]),
    ("messages[1].content[0]", [USER, {"role": "user", "content": ["hi"]}]),
    ("messages[1].content[0]", [USER, {"role": "user", "content": [{"type": "hologram"}]}]),
    ("messages[0].content[1]", [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text"}]}]),
    ("messages[0].content[0]", [{"role": "user", "content": [{"type": ["text"], "text": "a"}]}]),
    ("messages[0].content[0]", [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]),
    ("messages[0].name", [{"role": "user", "content": "hi", "name": 5}]),
    ("messages[1].tool_calls", [USER, {"role": "assistant", "tool_calls": "f"}]),
    ("messages[1].tool_calls[1]", [USER, {"role": "assistant", "tool_calls": [CALL, {"type": "function"}]}]),
    ("messages[1].tool_calls[0].function", [USER, {"role": "assistant", "tool_calls": [{"id": "c"}]}]),
    ("messages[1].function_call", [USER, {"role": "assistant", "function_call": "f"}]),
    ("messages[1].tool_call_id", [USER, {"role": "tool", "content": "42"}]),
    ("messages[1].name", [USER, {"role": "function", "content": "42"}]),
    ("messages[1].name", [USER, {"role": "function", "name": "never called", "content": "42"}]),
]


@pytest.mark.parametrize(("param", "messages"), MESSAGES, ids=[f"{param} {given}" for param, given in MESSAGES])
def test_a_bad_message_is_named_by_its_path(gateway: Gateway, param: str, messages: Any) -> None:
    """The param leads to the very message and part that is wrong."""
    expect_error(gateway.call(body={"messages": messages}), 400, INVALID, param=param)


def test_messages_are_required(gateway: Gateway) -> None:
    """A body without messages says which field is missing."""
    expect_error(gateway.call(body={"model": "openclaw"}), 400, INVALID, param="messages")


def test_too_many_messages(gateway: Gateway) -> None:
    """A hundred thousand messages are a conversation, one more is refused before it is looked at."""
    answer = gateway.chat(messages=[{"role": "user", "content": ""}] * 100_001)
    assert (answer.status, answer.error["param"]) == (400, "messages")
