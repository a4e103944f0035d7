import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.scripted import (
    Cut,
    CutBeforeHeaders,
    Empty,
    ErrorInStream,
    Hang,
    HangAfterHeaders,
    JsonReply,
    NoFinish,
    RawStream,
    Reply,
    ScriptedProvider,
    Status,
    ToolCall,
    Usage,
)

REQUEST = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as provider:
        yield provider


@contextmanager
def connected(provider: ScriptedProvider) -> Iterator[http.client.HTTPConnection]:
    client = http.client.HTTPConnection("127.0.0.1", int(provider.base_url.split(":")[2].split("/")[0]), timeout=5)
    yield client
    client.close()


def ask(client: http.client.HTTPConnection, **fields: Any) -> http.client.HTTPResponse:
    body = json.dumps(REQUEST | fields)
    client.request("POST", "/v1/chat/completions", body, {"Authorization": "Bearer k"})
    return client.getresponse()


def events(raw: bytes) -> list[Any]:
    lines = raw.decode().replace("\r\n", "\n").split("\n\n")
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def contents(raw: bytes) -> list[str]:
    deltas = [choice["delta"] for event in events(raw) for choice in event.get("choices", [])]
    return [delta["content"] for delta in deltas if delta.get("content")]


def test_a_reply_is_a_stream_of_its_tokens_a_finish_reason_and_done(provider: ScriptedProvider) -> None:
    with connected(provider) as client:
        answer = ask(client)
        raw = answer.read()
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert contents(raw) == ["Hello", " world"]
    assert events(raw)[-1]["choices"][0]["finish_reason"] == "stop"
    assert raw.endswith(b"data: [DONE]\n\n")


def test_steps_come_from_the_queue_then_from_the_function_then_the_default(provider: ScriptedProvider) -> None:
    provider.default = Reply("default")
    provider.enqueue(Reply("queued"), Status(429, "slow down", {"Retry-After": "7"}))
    provider.on(lambda received: Reply(received.body["echo"]) if "echo" in received.body else None)
    with connected(provider) as client:
        assert contents(ask(client, echo="not yet").read()) == ["queued"]
        limited = ask(client)
        assert (limited.status, limited.headers["Retry-After"]) == (429, "7")
        assert json.loads(limited.read())["error"]["message"] == "slow down"
        assert contents(ask(client, echo="echoed").read()) == ["echoed"]
        assert contents(ask(client).read()) == ["default"]


def test_a_request_is_recorded_as_it_came(provider: ScriptedProvider) -> None:
    with connected(provider) as client:
        ask(client, temperature=0.5).read()
        ask(client).read()
    first, second = provider.requests
    assert first.path == "/v1/chat/completions"
    assert first.headers["authorization"] == "Bearer k"
    assert first.body["temperature"] == json.loads(first.raw)["temperature"] == 0.5
    assert first.connection_id == second.connection_id == provider.connections == 1
    assert first.finished.wait(1)


def test_usage_comes_only_when_asked_for_and_where_scripted(provider: ScriptedProvider) -> None:
    usage = Usage(5, 2, cached=1)
    asked = {"stream_options": {"include_usage": True}}
    provider.enqueue(*(Reply("a", usage=usage, usage_in=place) for place in ("own", "finish", "every")))
    provider.default = Reply("a", usage=usage)
    with connected(provider) as client:
        own, finish, every = (events(ask(client, **asked).read()) for _ in range(3))
        unasked = events(ask(client).read())
    assert own[-1]["choices"] == []
    assert own[-1]["usage"]["total_tokens"] == 7
    assert [event["usage"]["prompt_tokens_details"] for event in finish if "usage" in event] == [{"cached_tokens": 1}]
    assert finish[-1]["choices"][0]["finish_reason"] == "stop"
    assert all("usage" in event for event in every)
    assert not any("usage" in event for event in unasked)


def test_reasoning_tool_calls_comments_and_crlf_are_written(provider: ScriptedProvider) -> None:
    call = ToolCall("call_1", "weather", '{"city":', '"Oslo"}')
    provider.default = Reply(
        "hm", reasoning=("think",), tool_calls=(call,), finish="tool_calls", extra=(": comment",), crlf=True
    )
    with connected(provider) as client:
        raw = ask(client).read()
    deltas = [event["choices"][0]["delta"] for event in events(raw)]
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert raw.startswith(b": comment\r\n\r\n")
    assert raw.count(b"\n") == raw.count(b"\r\n")
    assert {"reasoning_content": "think"} in deltas
    assert calls[0]["id"] == "call_1"
    assert calls[0]["function"]["name"] == "weather"
    assert "".join(call["function"]["arguments"] for call in calls) == '{"city":"Oslo"}'


def test_other_shapes_of_an_answer(provider: ScriptedProvider) -> None:
    provider.enqueue(NoFinish("a"), Empty(), ErrorInStream("broke", ("b",)), RawStream(b"da", b"ta: x"), JsonReply("c"))
    provider.enqueue(Status(500, body=b"<html>"))
    with connected(provider) as client:
        unfinished, empty, broken, raw, whole, page = (ask(client).read() for _ in range(6))
    assert contents(unfinished) == ["a"]
    assert not any(event["choices"][0]["finish_reason"] for event in events(unfinished))
    assert empty == b"data: [DONE]\n\n"
    assert contents(broken) == ["b"]
    assert events(broken)[-1]["error"]["message"] == "broke"
    assert raw == b"data: x"
    assert json.loads(whole)["choices"][0]["message"]["content"] == "c"
    assert page == b"<html>"


def test_another_path_is_not_found(provider: ScriptedProvider) -> None:
    with connected(provider) as client:
        client.request("POST", "/chat/completions", "{}")
        assert client.getresponse().status == 404


def test_a_cut_ends_the_stream_without_its_last_chunk(provider: ScriptedProvider) -> None:
    provider.enqueue(Cut(after_tokens=2))
    with connected(provider) as client, pytest.raises(http.client.IncompleteRead) as cut:
        ask(client).read()
    assert contents(cut.value.partial) == ["token0 ", "token1 "]
    assert not provider.requests[0].closed.is_set()


@pytest.mark.parametrize("step", [CutBeforeHeaders(), CutBeforeHeaders(reset=True)])
def test_a_cut_before_the_headers_is_no_answer_at_all(provider: ScriptedProvider, step: CutBeforeHeaders) -> None:
    provider.enqueue(step)
    refused = ConnectionResetError if step.reset else http.client.RemoteDisconnected
    with connected(provider) as client, pytest.raises(refused) as caught:
        ask(client)
    assert type(caught.value) is refused


@pytest.mark.parametrize(
    "step",
    [
        Hang(),
        HangAfterHeaders(),
        Reply("late", wait=30),
        Reply("one", "two", delay=30),
        Reply("held", hold=threading.Event(), hold_at="headers"),
        Reply("held", hold=threading.Event()),
        Reply(*("much " * 5000).split(), delay=0.01),
    ],
    ids=lambda step: type(step).__name__,
)
def test_a_client_that_leaves_is_noticed_at_once(provider: ScriptedProvider, step: Any) -> None:
    provider.enqueue(step)
    with connected(provider) as client:
        client.request("POST", "/v1/chat/completions", json.dumps(REQUEST))
        received = provider.wait_for_request()
        assert not received.closed.wait(0.05)
    assert received.closed.wait(0.1)
    assert not received.finished.is_set()


def test_a_held_reply_goes_on_when_its_event_is_set(provider: ScriptedProvider) -> None:
    go = threading.Event()
    provider.enqueue(Reply("a", "b", hold=go, hold_at=1))
    with connected(provider) as client:
        answer = ask(client)
        before = b""
        while b'"a"' not in before:
            before += answer.read1()
        assert b'"b"' not in before
        assert not provider.requests[0].finished.wait(0.05)
        go.set()
        assert contents(answer.read()) == ["b"]


def test_dropped_connections_are_closed_from_this_side(provider: ScriptedProvider) -> None:
    with connected(provider) as client:
        ask(client).read()
        assert provider.open_connections == 1
        provider.drop_connections()
        assert client.sock.recv(1) == b""
    assert not provider.requests[0].closed.is_set()


def test_a_request_that_never_comes_is_a_timeout(provider: ScriptedProvider) -> None:
    with pytest.raises(TimeoutError, match="0 of 1"):
        provider.wait_for_request(timeout=0.01)


def test_three_hundred_clients_are_held_and_answered_together(provider: ScriptedProvider) -> None:
    go = threading.Event()
    provider.default = Reply("a", hold=go)
    body = json.dumps(REQUEST).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    address = ("127.0.0.1", int(provider.base_url.split(":")[2].split("/")[0]))
    clients = [socket.create_connection(address, timeout=5) for _ in range(300)]
    for client in clients:
        client.sendall(head + body)
    provider.wait_for_request(300)
    assert provider.open_connections == 300
    started = time.monotonic()
    go.set()
    for client in clients:
        with client, client.makefile("rb") as answer:
            assert answer.read().endswith(b"[DONE]\n\n\r\n0\r\n\r\n")
    assert time.monotonic() - started < 2
